"""`mimic completion bash | zsh | fish`: completion by Tab."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from mimic.arguments import POSITIONAL, parse_arguments
from mimic.commands.run_options import options_of
from mimic.commands.sweep import OWN
from mimic.config import Config
from mimic.presets import PRESETS

if TYPE_CHECKING:
    from mimic.completion import Words


@dataclass(frozen=True)
class Completion:
    """Print a script by which a shell completes commands, presets, robots and options.

    bash and zsh: `eval "$(mimic completion bash)"` in ~/.bashrc or ~/.zshrc. fish: write it to
    ~/.config/fish/completions/mimic.fish.
    """

    shell: Annotated[Literal["bash", "zsh", "fish"], POSITIONAL]
    """Which shell."""


def run_completion(argv: list[str], commands: dict[str, type]) -> int:
    """Parse and run `mimic completion`; `commands` are all there are, by name."""
    from mimic.completion import SHELLS

    shell = parse_arguments(Completion, argv, "mimic completion").shell
    print(SHELLS[shell](typed_after(commands)), end="")
    return 0


def typed_after(commands: dict[str, type]) -> "dict[str, Words]":
    """What can be typed after each command; of `motions` after each of its own, too."""
    from mimic.commands.motions import MOTION_COMMANDS
    from mimic.completion import HELP, Words, words_of

    training = words_of(options_of(None, Config(), None, ""))
    own = {
        "train": training._replace(first=tuple(PRESETS)),
        "distill": training,
        "harden": training,
        "motions": Words(tuple(MOTION_COMMANDS), (HELP,), {}),
    }
    sweep = words_of(commands["sweep"])
    more = [option for option in training.options if option not in (*sweep.options, *OWN)]
    own["sweep"] = Words(tuple(PRESETS), (*sweep.options, *more), training.values | sweep.values)
    table = {name: own[name] if name in own else words_of(kind) for name, kind in commands.items()}
    return table | {f"motions {name}": words_of(kind) for name, kind in MOTION_COMMANDS.items()}
