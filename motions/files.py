"""Files that are there whole or not at all, whatever happens while they are written; and what is written in them."""

import json
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """The name of a file beside `path`, to be written in the block, at whose end it takes the place of `path`.

    Where the block raises it is removed. Of several processes that write one `path`, the last one's stays.
    """
    partial = path.with_name(f".partial-{uuid.uuid4().hex}{path.suffix}")
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def write_json(path: Path, record: dict[str, Any]) -> None:
    """`record` as indented JSON, whole or not at all."""
    with whole(path) as partial:
        partial.write_text(json.dumps(record, indent=1) + "\n")


def toml_text(text: str) -> str:
    """`text` as TOML writes it on one line, as a value or a key."""
    escapes = {'"': '\\"', "\\": "\\\\"}
    return '"' + "".join(escapes.get(c, c if c.isprintable() else f"\\U{ord(c):08x}") for c in text) + '"'
