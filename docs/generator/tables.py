"""HTML tables of text that may hold anything: everything is escaped, `code` between backticks is kept as such."""

import html
from collections.abc import Iterable, Sequence


def text(words: str) -> str:
    """A line of prose as HTML: every second part between backticks is code."""
    parts = [html.escape(part) for part in " ".join(words.split()).split("`")]
    return "".join(f"<code>{part}</code>" if number % 2 else part for number, part in enumerate(parts))


def code(words: str) -> str:
    """One word or value as HTML."""
    return f"<code>{html.escape(words)}</code>"


def table(head: Sequence[str], rows: Iterable[tuple[str, Sequence[str]]]) -> str:
    """Rows of (anchor, cells as HTML), under a head of plain words. A page can be linked at any row's anchor, if it has one."""
    lines = ['<table class="reference-table">', "<thead><tr>" + "".join(f"<th>{html.escape(word)}</th>" for word in head)]
    lines += ["</tr></thead>", "<tbody>"]
    for anchor, cells in rows:
        name = f' id="{html.escape(anchor)}"' if anchor else ""
        lines.append(f"<tr{name}>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>")
    return "\n".join([*lines, "</tbody></table>"])
