"""`mimic explain E-BVH`: what the code behind an error is about."""

import re
from dataclasses import dataclass
from typing import Annotated

from mimic.arguments import POSITIONAL
from mimic.error_codes import CODES, find_code


@dataclass(frozen=True)
class Explain:
    """Say what the code behind an error is about, and what to do.

    With its usual causes. Without a code: list them.
    """

    code: Annotated[str, POSITIONAL] = ""
    """As it stands in brackets behind the error, as E-BVH."""

    def run(self) -> int:
        if not self.code:
            width = max(len(entry.code) for entry in CODES)
            for entry in CODES:
                print(f"{entry.code:{width}}  {entry.title}")
            return 0
        entry = find_code(self.code)
        print(f"{entry.code}: {entry.title}\n\nUsual causes: {entry.causes}\n\nWhat to do: {plain(entry.advice)}")
        return 0


def plain(markdown: str) -> str:
    """With the files that links point at: [Cluster](cluster.md) becomes Cluster (docs/cluster.md)."""
    return re.sub(r"\[([^\]]+)\]\(([^)]+)\)", r"\1 (docs/\2)", markdown)
