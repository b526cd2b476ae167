"""What a dataclass says of its fields in its source: Python itself keeps neither their docstrings nor their types as spelt."""

import ast
import inspect
import textwrap
from typing import NamedTuple


class Written(NamedTuple):
    """Of one field. `doc` is empty where no docstring stands below it."""

    type: str
    doc: str


def as_written(kind: type) -> dict[str, Written]:
    """By the field's name, of those that stand in `kind` itself."""
    (tree,) = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
    assert isinstance(tree, ast.ClassDef)
    found = {}
    for node, below in zip(tree.body, [*tree.body[1:], None], strict=True):
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            doc = below.value.value if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant) else ""
            found[node.target.id] = Written(ast.unparse(node.annotation), inspect.cleandoc(str(doc)))
    return found
