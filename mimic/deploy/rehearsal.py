"""`mimic rehearse`: `mimic serve` and `mimic sim-robot` as two processes on this machine, and the verdict on both.

Everything they say and record is kept in one folder: serve.txt, serve.json, serve.jsonl, robot.txt, robot.json, robot.npz.
"""

import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mimic.deploy.check import Check
from motions.errors import InputError

STEP_MS, JITTER_MS = 1.0, 2.0  # largest 99th percentiles of a step's length and of its beginning's delay
OF_MACHINE = ("steps", "step time", "jitter", "real time")  # what a busy machine fails, whatever the policy
LEAVE_S = 5.0  # time that one has to end after the other did, or after it was told to


def rehearse(bundle: Path, out: Path, serve: Sequence[str], robot: Sequence[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Run both over `bundle`, with these further arguments, until the robot ends; returns their reports.

    Raises `InputError` where one ended without a report; what it said is in it. An interrupt is passed on to both.
    """
    port = str(_free_port())
    arguments = {
        "serve": [*serve, "--log", str(out / "serve.jsonl")],
        "robot": [*robot, "--log", str(out / "robot.npz")],
    }
    for name in arguments:
        for kind in ("json", "txt"):
            (out / f"{name}.{kind}").unlink(missing_ok=True)
    running: dict[str, subprocess.Popen] = {}
    try:
        for name, command in (("serve", "serve"), ("robot", "sim-robot")):
            report = ["--port", port, "--json", str(out / f"{name}.json")]
            with (out / f"{name}.txt").open("w") as said:
                running[name] = subprocess.Popen(
                    [sys.executable, "-m", "mimic", command, str(bundle), *report, *arguments[name]],
                    stdout=said, stderr=subprocess.STDOUT,
                )  # fmt: skip
        while all(process.poll() is None for process in running.values()):
            time.sleep(0.1)
    finally:
        _end(running.values())
    return _report(out, "serve"), _report(out, "robot")


def verdict(served: dict[str, Any], lived: dict[str, Any]) -> list[Check]:
    """What a rehearsal must show before anything is plugged in."""
    step, jitter = served["step_ms"]["p99"] or 0.0, served["jitter_ms"]["p99"] or 0.0
    faults = [change for change in served["changes"] if change["to"] in ("HOLD", "DAMP", "STOP")]
    whole, passes = sum(row["success_height"] for row in lived["passes"]), len(lived["passes"])
    packets, refused = served["packets"], sum(served["packets"]["refused"].values())
    slow = lived["slipped_s"]
    return [
        Check(
            "steps",
            served["missed_steps"] == 0,
            f"{served['steps']} in {served['seconds']:.1f} s, {served['missed_steps']} missed",
        ),
        Check("step time", step <= STEP_MS, f"99 % within {step:.2f} ms, expected {STEP_MS:g}"),
        Check("jitter", jitter <= JITTER_MS, f"99 % within {jitter:.2f} ms, expected {JITTER_MS:g}"),
        Check("messages", refused == 0, f"{packets['taken']} taken, {packets['lost']} lost, {refused} refused"),
        Check("states", not faults, f"{faults[0]['to']}: {faults[0]['reason']}" if faults else "never held, damped or stopped"),
        Check(
            "real time", slow == 0, f"the simulated robot fell behind by {slow:.2f} s" if slow else "the simulated robot kept up"
        ),
        Check("tracking", 0 < whole == passes, f"{whole} of {passes} times from the clip's first frame to its last"),
    ]


def told_of_machine(checks: Sequence[Check], load: float, cores: int) -> str | None:
    """In words: which checks failed that are of the machine and not of the policy, and how busy it was, `load` processes on
    average in the minute before; None: none failed."""
    failed = [check.what for check in checks if check.what in OF_MACHINE and not check.passed]
    if not failed:
        return None
    return (
        f"{', '.join(failed)}: that is this machine, not the policy. Before the rehearsal the load on it was {load:.1f} on "
        f"{cores} cores; repeat it on an idle one"
    )


def _free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _end(processes: Any) -> None:
    """When one has ended, or this was interrupted: let the others finish by themselves, then ask them to, then make them."""
    for end in (lambda process: None, lambda process: process.send_signal(signal.SIGINT), lambda process: process.kill()):
        for process in processes:
            end(process)
        for process in processes:
            try:
                process.wait(LEAVE_S)
            except subprocess.TimeoutExpired:
                break
        else:
            return


def _report(out: Path, name: str) -> dict[str, Any]:
    try:
        return json.loads((out / f"{name}.json").read_text())
    except (OSError, ValueError) as error:
        said = (out / f"{name}.txt").read_text().strip().splitlines()
        raise InputError(f"{name} ended without a report: {' '.join(said[-3:]) or 'it said nothing'}") from error
