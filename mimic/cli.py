"""The command line: `mimic COMMAND ...`. `InputError` becomes one line and exit code 2."""

import re
import sys
import warnings

from mimic.arguments import EXIT_CODES, EXIT_FAILED, EXIT_INPUT, EXIT_INTERRUPTED, parse_arguments, say
from mimic.commands.completion import Completion, run_completion
from mimic.commands.distill import Distill, parse_distill
from mimic.commands.harden import Harden, parse_harden
from mimic.commands.init import Init
from mimic.commands.mocap import Convert, Retarget
from mimic.commands.motions import Fetch, Motions, run_motions
from mimic.commands.robot import Robot
from mimic.commands.serving import Rehearse, Serve, SimRobot
from mimic.commands.stress import Stress
from mimic.commands.sweep import Sweep, run_sweep
from mimic.commands.tools import Bench, Doctor, Inspect
from mimic.commands.training import CheckBundle, Demo, Evaluate, Export, Play, Train, parse_train
from mimic.commands.view import View
from mimic.compile_cache import enable_compile_cache
from mimic.help_text import listed, paragraph
from motions.errors import InputError, unknown_name

GROUPS: dict[str, tuple[type, ...]] = {
    "train": (Demo, Init, Train, Sweep, Distill, Harden),
    "look": (View, Play, Inspect),
    "measure": (Evaluate, Stress, Bench),
    "motions": (Retarget, Convert, Motions, Fetch, Robot),
    "deploy": (Export, CheckBundle, Rehearse, Serve, SimRobot),
    "this machine": (Doctor, Completion),
}


def command_name(command: type) -> str:
    """As it is typed: `CheckBundle` is check-bundle."""
    return re.sub("(?<=[a-z])(?=[A-Z])", "-", command.__name__).lower()


COMMANDS: dict[str, type] = {command_name(command): command for group in GROUPS.values() for command in group}


def main(argv: list[str] | None = None) -> None:
    """Entry point of the console script."""
    argv = sys.argv[1:] if argv is None else argv
    warnings.filterwarnings("ignore", message=".*os.fork.*")  # starting ffmpeg and probing OpenGL touch nothing of JAX's
    enable_compile_cache()
    warnings.formatwarning = lambda message, *_: f"warning: {message}\n"
    try:
        code = _run(argv)
    except InputError as error:
        say(f"mimic: {error}")
        code = EXIT_INPUT
    except KeyboardInterrupt:
        say("mimic: interrupted")
        code = EXIT_INTERRUPTED
    except BrokenPipeError:
        code = EXIT_FAILED
    except RuntimeError as error:
        if type(error).__name__ != "TrainingError":
            raise
        say(f"mimic: {error}")
        code = EXIT_FAILED
    sys.exit(code)


def _run(argv: list[str]) -> int:
    if not argv or argv[0] in ("-h", "--help"):
        print(_overview())
        return 0 if argv else EXIT_INPUT
    if argv[0] in ("-V", "--version"):
        from mimic import __version__

        print(f"mimic {__version__}")
        return 0
    name, rest = argv[0], argv[1:]
    if name not in COMMANDS:
        raise unknown_name("command", name, COMMANDS)
    if name == "train":
        return parse_train(rest).run()
    if name == "sweep":
        return run_sweep(rest)
    if name == "harden":
        return parse_harden(rest).run()
    if name == "distill":
        return parse_distill(rest).run()
    if name == "completion":
        return run_completion(rest, COMMANDS)
    if name == "motions":
        return run_motions(rest)
    return parse_arguments(COMMANDS[name], rest, f"mimic {name}").run()


def _overview() -> str:
    blocks = ["usage: mimic COMMAND ...", paragraph("From a motion-capture file to a measured, deployable controller.")]
    blocks += [f"{title}:\n{listed({command_name(command): command for command in group})}" for title, group in GROUPS.items()]
    blocks += [
        paragraph(
            "`mimic COMMAND --help` explains one. First steps: `mimic demo`, then `mimic init`, which asks what you want and "
            "writes it down."
        ),
        "\n".join(["exit codes:", *(f"  {code:3}  {meaning}" for code, meaning in EXIT_CODES.items())]),
    ]
    return "\n\n".join(blocks)
