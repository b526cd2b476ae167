"""What can be typed after `mimic`, and scripts by which shells know: all words are in them, so that Tab starts no Python."""

import dataclasses
import types
import typing
from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

from mimic.arguments import POSITIONAL
from mimic.config import BACKENDS, DEVICES
from mimic.presets import PRESETS
from mimic.robots.find import builtin_specs

HELP = "--help"
KNOWN = {"robot": builtin_specs, "preset": lambda: PRESETS, "backend": lambda: BACKENDS, "device": lambda: DEVICES}  # by field


class Words(NamedTuple):
    """After one command: what comes first, its options, and of these the words that may follow."""

    first: tuple[str, ...]
    options: tuple[str, ...]
    values: dict[str, tuple[str, ...]]  # an option that is not here is followed by a file, or a number, or nothing


def words_of(kind: type, first: tuple[str, ...] = ()) -> Words:
    """Of a command that is parsed from the dataclass `kind`."""
    found = list(_options(kind))
    positional = next((values for name, values, given in found if not given and values), ())
    options = (*(name for name, _, given in found if given), HELP)
    return Words(first or positional, options, {name: values for name, values, given in found if given and values})


def _options(kind: type, section: str = "") -> Iterator[tuple[str, tuple[str, ...], bool]]:
    """(name, words that may follow, whether it is an option rather than a place) of each field, sections gone into."""
    hints = typing.get_type_hints(kind, include_extras=True)
    for field in dataclasses.fields(kind):
        hint, marks = hints[field.name], getattr(hints[field.name], "__metadata__", ())
        inner = typing.get_args(hint)[0] if marks else hint
        named = next((mark.name for mark in marks if getattr(mark, "name", None) is not None), field.name)
        if dataclasses.is_dataclass(inner):
            yield from _options(typing.cast(type, inner), f"{section}{named}." if named else section)
        else:
            known = tuple(KNOWN[field.name]()) if field.name in KNOWN and not section else _choices(inner)
            names = [named, f"no_{named}"] if field.default is True else [named]  # which of them is one depends on the preset
            for name in names:
                yield f"--{section}{name}".replace("_", "-"), known, POSITIONAL not in marks


def _choices(hint: Any) -> tuple[str, ...]:
    if typing.get_origin(hint) is Literal:
        return tuple(str(value) for value in typing.get_args(hint))
    if typing.get_origin(hint) in (types.UnionType, typing.Union):
        return next((found for one in typing.get_args(hint) if (found := _choices(one))), ())
    return ()


def bash(table: dict[str, Words]) -> str:
    """A function that looks at the first one or two words, then at the word before the cursor; files where nothing is known."""
    cases = []
    for command, words in table.items():
        values = "".join(f"      {option}) _mimic_words='{' '.join(found)}';;\n" for option, found in words.values.items())
        cases.append(
            f"    '{command}')\n      _mimic_first='{' '.join(words.first)}'\n      _mimic_options='{' '.join(words.options)}'\n"
            f'      case "$before" in\n{values}      esac;;\n'
        )
    return f"""# completion of `mimic` for bash, by `mimic completion bash`
_mimic() {{
  local here="${{COMP_WORDS[COMP_CWORD]}}" before="${{COMP_WORDS[COMP_CWORD-1]}}" command="${{COMP_WORDS[1]}}" at=2
  local _mimic_first='' _mimic_options='' _mimic_words=''
  if ((COMP_CWORD == 1)); then
    COMPREPLY=($(compgen -W '{" ".join(tops(table))}' -- "$here"))
    return
  fi
  if [[ $command == motions ]] && ((COMP_CWORD > 2)); then
    command="motions ${{COMP_WORDS[2]}}" at=3
  fi
  case "$command" in
{"".join(cases)}  esac
  if [[ -n $_mimic_words ]]; then
    COMPREPLY=($(compgen -W "$_mimic_words" -- "$here"))
  elif [[ $here == -* ]]; then
    COMPREPLY=($(compgen -W "$_mimic_options" -- "$here"))
  elif ((COMP_CWORD == at)) && [[ -n $_mimic_first ]]; then
    COMPREPLY=($(compgen -W "$_mimic_first" -- "$here"))
  fi
}}
complete -o default -F _mimic mimic
"""


def zsh(table: dict[str, Words]) -> str:
    """zsh runs bash's completions."""
    return f"autoload -U +X compinit && compinit\nautoload -U +X bashcompinit && bashcompinit\n{bash(table)}"


def fish(table: dict[str, Words]) -> str:
    """A line for each word."""
    lines = ["# completion of `mimic` for fish, by `mimic completion fish`"]
    lines += [f"complete -c mimic -n 'test (count (commandline -opc)) -eq 1' -f -a {top}" for top in tops(table)]
    for command, words in table.items():
        places = list(enumerate(command.split(), start=2))
        asked = "set -l words (commandline -opc)" + "".join(f'; and test "$words[{place}]" = {word}' for place, word in places)
        after = f"-n '{asked}'"
        if words.first:
            at_first = f"-n '{asked}; and test (count $words) -eq {1 + len(places)}'"
            lines.append(f"complete -c mimic {at_first} -a '{' '.join(words.first)}'")
        for option in words.options:
            found = words.values.get(option)
            lines.append(
                f"complete -c mimic {after} -l '{option.removeprefix('--')}'" + (f" -x -a '{' '.join(found)}'" if found else "")
            )
    return "\n".join(lines) + "\n"


def tops(table: dict[str, Words]) -> list[str]:
    """First words, each once."""
    return list(dict.fromkeys(command.split()[0] for command in table))


SHELLS = {"bash": bash, "zsh": zsh, "fish": fish}
