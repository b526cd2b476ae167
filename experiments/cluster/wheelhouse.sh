#!/usr/bin/env bash
# make wheelhouse [OUT=wheelhouse] [PYTHON=3.12] [MACHINE=x86_64] [EXTRAS=cuda] [SPLIT=45m]: all wheels of Mimic for a Linux
# machine without a network, with an install.sh beside them. SPLIT: wheels larger than this are cut into parts, which it joins.
# Which packages are needed is decided as for the Python that runs this: run it with one of the same version as PYTHON.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
out=${OUT:-wheelhouse} python=${PYTHON:-3.12} machine=${MACHINE:-x86_64} extras=${EXTRAS:-} split=${SPLIT:-}
pip=(.venv/bin/python -m pip --disable-pip-version-check)
what="mimic-mjx${extras:+[$extras]}"

"${pip[@]}" --version >/dev/null 2>&1 || .venv/bin/python -m ensurepip >/dev/null  # uv makes environments without pip
if [[ -d $out && -n $(ls -A "$out") && ! -f $out/install.sh ]]; then
  echo "wheelhouse: $out holds other files; give another OUT, or an empty folder" >&2
  exit 2
fi
mkdir -p "$out"
touch "$out/install.sh"
rm -f "$out"/*.whl "$out"/*.whl.part-*
platforms=()  # pip takes a platform by its word: the older ones, whose wheels run there too, must be named as well
for glibc in 2_34 2_31 2_28 2_27 2_24 2_17; do platforms+=(--platform "manylinux_${glibc}_$machine"); done
for year in 2014 2010 1; do platforms+=(--platform "manylinux${year}_$machine"); done
"${pip[@]}" wheel -q --no-deps -w "$out" .
"${pip[@]}" download -q --only-binary=:all: --implementation cp --python-version "$python" "${platforms[@]}" \
  -c constraints.txt -d "$out" --find-links "$out" "$what"

if [[ -n $split ]]; then
  find "$out" -name '*.whl' -size "+${split^^}" -print0 | while IFS= read -r -d '' wheel; do
    split -b "$split" "$wheel" "$wheel.part-" && rm "$wheel"
  done
fi

cat >"$out/install.sh" <<EOF
#!/usr/bin/env bash
# install.sh [PYTHON]: Mimic from the wheels in this folder, without a network, into PYTHON ($python; python3 if not said).
set -euo pipefail
cd "\$(dirname "\${BASH_SOURCE[0]}")"
for first in *.part-aa; do
  [[ -e \$first ]] && cat "\${first%aa}"* >"\${first%.part-aa}"
done
"\${1:-python3}" -m pip install --no-index --find-links . '$what'
EOF
chmod +x "$out/install.sh"
echo "$(find "$out" -name '*.whl*' | wc -l) files, $(du -sh "$out" | cut -f1), in $out: copy it there, then $out/install.sh"
