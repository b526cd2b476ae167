"""The ablation table: what is trained, what is not trained again, and the rows made of it."""

import importlib.util
import json
from pathlib import Path

import pytest

from mimic.arguments import with_settings
from mimic.checks import check_config
from mimic.presets import make_preset

PATH = Path(__file__).resolve().parents[1] / "experiments" / "ablations" / "run.py"
SPEC = importlib.util.spec_from_file_location("ablations", PATH)
assert SPEC
assert SPEC.loader
ablations = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(ablations)


@pytest.mark.parametrize("row", ablations.ROWS)
def test_every_row_can_be_trained(row: str):
    check_config(with_settings(make_preset("g1"), ablations.ROWS[row], "a row"))


def test_the_table_grows_and_nothing_is_trained_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys):
    trained = []

    def train(row: str, seed: int, file: Path, options: list[str]) -> None:
        trained.append((row, seed, options))
        if (row, seed) == ("cap3", 1):
            raise KeyboardInterrupt
        result = {"seed": seed, "e_mpbpe_mm": 10.0 + 2 * seed, "success_height": int(seed == 0)}
        file.write_text(json.dumps({"seeds": [result]}))

    monkeypatch.setattr(ablations, "train", train)
    argv = ["run.py", "--motion", "a.bvh", "--rows", "base", "cap3", "--seeds", "0", "1", "--out", str(tmp_path)]
    monkeypatch.setattr("sys.argv", argv)
    with pytest.raises(KeyboardInterrupt):
        ablations.main()
    options = ["--motion", "a.bvh"]
    assert trained == [("base", 0, options), ("cap3", 0, options), ("base", 1, options), ("cap3", 1, options)]
    trained.clear()
    monkeypatch.setattr("sys.argv", [*argv[:4], "base", *argv[6:]])
    assert ablations.main() == 0
    assert trained == []
    assert "| base |  | 1/2 | 10.0, 12.0 | 11.0 |" in capsys.readouterr().out
    assert "cap3" not in ablations.table(tmp_path, ["base", "cap3"], [0, 1])
    assert "| cap3 | `--set sampling.cap=3` | 1/1 | 10.0 | 10.0 |" in ablations.table(tmp_path, ["cap3"], [0])
