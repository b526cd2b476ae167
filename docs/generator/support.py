"""Tables of what is read, written and known, from the readers, writers and robots' files themselves."""

import tomllib
from pathlib import Path

from tables import code, table, text

from motions.formats import FORMATS, WRITERS

ROOT = Path(__file__).resolve().parents[2]
FORMATS_PLACE, ROBOTS_PLACE = "<!-- the formats -->", "<!-- the robots -->"


def formats_table() -> str:
    """Suffixes, what is read from them, and what is written to them."""
    written: dict[str, list[str]] = {}
    for name, writer in WRITERS.items():
        for suffix in writer.suffixes:
            also = " or skeleton's" if writer.skeletons else ""
            written.setdefault(suffix, []).append(f"a robot's{also} motion" if name in suffix else f"{name}, with `--format`")
    rows = [
        (
            "",
            (
                code(suffix),
                text(FORMATS[suffix].holds.rstrip(",")) if suffix in FORMATS else "",
                text("; ".join(written.get(suffix, []))),
            ),
        )
        for suffix in (*FORMATS, *(suffix for suffix in written if suffix not in FORMATS))
    ]
    return table(("suffix", "read", "written"), rows)


def robots_table() -> str:
    """Every robot with a spec or a mapping: whether it can be trained by its name, and retargeted to."""
    specs = {path.stem for path in (ROOT / "mimic" / "robots").glob("*.toml")}
    maps = {path.stem: tomllib.loads(path.read_text()) for path in (ROOT / "retarget" / "robots").glob("*.toml")}
    rows = [
        ("", (code(name), "by its name" if name in specs else "by its MJCF", "yes" if name in maps else "by a guess, or yours"))
        for name in sorted(specs | maps.keys())
    ]
    return table(("robot", "trained", "retargeted to"), rows)
