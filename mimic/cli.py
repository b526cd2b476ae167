"""The command line: `mimic COMMAND ...`. `InputError` becomes one line and exit code 2."""

import re
import sys
import warnings

from mimic.arguments import EXIT_FAILED, EXIT_INPUT, EXIT_INTERRUPTED, parse_arguments, say
from mimic.commands.distill import Distill, parse_distill
from mimic.commands.harden import Harden, parse_harden
from mimic.commands.mocap import Convert, Retarget
from mimic.commands.motions import Fetch, Motions, run_motions
from mimic.commands.report import Report
from mimic.commands.robot import Robot
from mimic.commands.serving import Rehearse, Serve, SimRobot
from mimic.commands.stress import Stress
from mimic.commands.sweep import Sweep, run_sweep
from mimic.commands.tools import Bench, Doctor, Inspect
from mimic.commands.training import CheckBundle, Demo, Evaluate, Export, Play, Train, parse_train
from mimic.commands.view import View
from mimic.compile_cache import enable_compile_cache
from motions.errors import InputError, unknown_name

COMMANDS: dict[str, type] = {
    re.sub("(?<=[a-z])(?=[A-Z])", "-", command.__name__).lower(): command
    for command in (
        Demo, Train, Sweep, Harden, Distill, Evaluate, Retarget, Convert, Motions, Fetch, Robot, Export, CheckBundle, Play,
        View, Report, Stress, Rehearse, Serve, SimRobot, Bench, Inspect, Doctor,
    )
}  # fmt: skip


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
    if name == "motions":
        return run_motions(rest)
    return parse_arguments(COMMANDS[name], rest, f"mimic {name}").run()


def _overview() -> str:
    lines = ["usage: mimic COMMAND ...", "", "From a motion-capture file to a measured, deployable controller.", ""]
    lines += [f"  {name:12} {(command.__doc__ or '').strip().splitlines()[0]}" for name, command in COMMANDS.items()]
    lines += ["", "`mimic COMMAND --help` explains one. First steps: `mimic demo`, then `mimic train g1 --motion FILE`."]
    return "\n".join(lines)
