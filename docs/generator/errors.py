"""The list of error codes on the page of troubleshooting: what each is about, and what the program says then, word by word."""

import ast
from pathlib import Path

from tables import text

from mimic.error_codes import CODES, ROOMS, Code, code_of_module

ROOT = Path(__file__).resolve().parents[2]
PLACE = "<!-- the error codes -->"  # of the page, where they go
GAP = "…"  # what a message fills in
RAISED = ("InputError", "BundleError", "TrainingError", "Diverged")


def modules() -> dict[str, Path]:
    """Dotted name to file, of every module of ours."""
    found = {}
    for room in ROOMS:
        for path in sorted((ROOT / room).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def template(node: ast.expr) -> str:
    """The text of a message, with `GAP` for what is filled in."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(template(part) for part in node.values)
    if isinstance(node, ast.BinOp):
        return template(node.left) + template(node.right)
    return GAP


def messages(path: Path) -> list[str]:
    """What the module in `path` may raise, in its order; none twice."""
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name) or not node.args:
            continue
        name, words = node.func.id, [template(argument) for argument in node.args]
        if name in RAISED:
            found.append((node.lineno, words[0]))
        elif name == "unknown_name":
            found.append((node.lineno, f"unknown {words[0]} {GAP} Known: {GAP}"))
        elif name == "unreadable":
            found.append((node.lineno, f"{GAP}: not a readable {words[1]}: damaged, truncated or another format"))
    return list(dict.fromkeys(message for _, message in sorted(found) if message.strip(f"{GAP} :")))


def messages_by_code() -> dict[Code, list[str]]:
    """All messages of each code, in the order of `CODES`."""
    found: dict[Code, list[str]] = {entry: [] for entry in CODES}
    for name, path in modules().items():
        entry = code_of_module(name)
        if entry is not None:
            found[entry] += messages(path)
    return found


def error_codes() -> str:
    """The section of the page, Markdown with every message escaped."""
    lines = []
    for entry, said in messages_by_code().items():
        lines += [f"### {entry.code}: {entry.title} {{ #{entry.code} }}", ""]
        lines += [f"Usual causes: {entry.causes}", "", f"What to do: {entry.advice}", ""]
        if said:
            many = f"{len(said)} messages" if len(said) > 1 else "one message"
            items = "".join(f"<li>{text(message)}</li>" for message in dict.fromkeys(said))
            lines += [f"<details><summary>{many}</summary><ul>{items}</ul></details>", ""]
    return "\n".join(lines)
