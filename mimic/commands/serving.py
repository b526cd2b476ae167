"""`mimic serve | sim-robot | rehearse`: an exported policy in control of a robot, and the robot to rehearse it with."""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from mimic.arguments import EXIT_FAILED, POSITIONAL, paper, say, write_json
from motions.errors import InputError

PORT = 9870
MAX_LATENCY_MS, MAX_PORT = 1000.0, 65535


def require_follower(bundle: Path) -> None:
    """Raise `InputError` for the bundle of a policy that the runtime cannot run; any other fault is left to the runtime."""
    from mimic.runs import POLICY

    try:
        spec = json.loads((bundle / "policy.json").read_text())
        told = bool(spec.get("goal")) or not spec.get("follow", True)
    except (OSError, ValueError, AttributeError):
        return
    if told:
        raise InputError(
            f"{bundle}: the policy follows no clip or is told what to do; the runtime knows neither: run its raw.onnx, or "
            f"mimic play {bundle / POLICY}"
        )


@dataclass(frozen=True, kw_only=True)
class RobotOptions:
    """How the simulated robot begins, and what the link to it is like."""

    latency_ms: float = 10.0
    """Delay of every packet, in each direction [ms]."""
    loss: float = 0.01
    """Part of the packets that is lost, in each direction."""
    seed: int = 0
    """Of the losses, and of where the robot's compass and odometry begin."""
    from_default: bool = False
    """Start in the default pose and be let go at rest, rather than in the clip's first frame and its motion."""

    def check_link(self) -> None:
        """Raises `InputError` for a link that cannot be."""
        if not 0 <= self.loss < 1:
            raise InputError(f"--loss {self.loss:g}: expected a part, from 0 to below 1")
        if not 0 <= self.latency_ms <= MAX_LATENCY_MS:
            raise InputError(f"--latency-ms {self.latency_ms:g}: expected 0 to {MAX_LATENCY_MS:g}")
        if self.seed < 0:
            raise InputError(f"--seed {self.seed}: expected 0 or more")


@dataclass(frozen=True)
class Serve:
    """Control a robot by a policy bundle, over UDP.

    A safe start, then the policy at its rate; Ctrl-C damps and stops the robot.
    """

    bundle: Annotated[Path, POSITIONAL]
    """What `mimic export --bundle` wrote."""
    host: str = "127.0.0.1"
    """Address to listen on; 0.0.0.0 for a robot that is another machine."""
    port: int = PORT
    """UDP port to listen on."""
    duration: float | None = None
    """Seconds after which the robot is damped and stopped; default: when it leaves, or at Ctrl-C."""
    repeat: bool = False
    """When the clip has ended start again, rather than hold its last frame."""
    reorder: bool = False
    """Allow a robot that has the policy's joints in another order."""
    blend_s: float = 2.0
    """Shortest safe start [s]."""
    log: Path | None = None
    """Write every step to this file: a line of JSON each."""
    json: Path | None = None
    """Write the report to this file too."""

    def run(self) -> int:
        from mimic.deploy.policy import BundleError, Controller, Safety
        from mimic.deploy.serve import Server, interrupts, open_log
        from mimic.runs import require_writable_file

        for file in (self.json, self.log):
            require_writable_file(file)
        require_above(duration=self.duration, blend_s=self.blend_s)
        check_address(self.port)
        require_follower(self.bundle)
        try:
            controller = Controller(self.bundle, Safety(blend_s=self.blend_s), repeat=self.repeat)
            with (
                open_log(self.log) as log,
                Server(controller, self.host, self.port, reorder=self.reorder, log=log) as server,
                interrupts(server),
            ):
                served = server.run(self.duration, say)
        except BundleError as error:
            raise InputError(str(error)) from error
        served.report(say)
        write_json(self.json, served.to_json())
        return EXIT_FAILED if served.by_fault else 0


@dataclass(frozen=True)
class SimRobot(RobotOptions):
    """Be the robot of a policy bundle, simulated in real time: the partner of `serve`."""

    bundle: Annotated[Path, POSITIONAL]
    """What `mimic export --bundle` wrote."""
    host: str = "127.0.0.1"
    """Where `mimic serve` listens."""
    port: int = PORT
    """Its UDP port."""
    duration: float | None = None
    """Seconds to live from the first command on; default: until the clip was tracked once."""
    log: Path | None = None
    """Write what the body did to this .npz: our motion format, with the commands."""
    json: Path | None = None
    """Write the metrics to this file too."""

    def run(self) -> int:
        from mimic.deploy.radio import RobotProcess
        from mimic.deploy.sim2sim import Policy
        from mimic.deploy.sim_robot import SimRobot as Body
        from mimic.evaluation.whole_clips import metrics_table
        from mimic.runs import POLICY, require_writable_file

        for file in (self.json, self.log):
            require_writable_file(file)
        require_above(duration=self.duration)
        check_address(self.port)
        self.check_link()
        body = Body(Policy.load(self.bundle / POLICY), from_default=self.from_default, seed=self.seed)
        process = RobotProcess(body, self.host, self.port, latency_s=self.latency_ms / 1e3, loss=self.loss, seed=self.seed)
        say(
            f"{body.policy.spec.robot}, {len(body.policy.spec.joint_names)} joints, calls {self.host}:{self.port}; "
            f"{self.latency_ms:g} ms and {self.loss:.1%} loss each way"
        )
        lived = process.run(self.duration)
        if body.rows:
            paper().print(metrics_table(body.rows, "Tracked by the runtime, in plain MuJoCo and real time"))
        say(f"ended: {lived.ended}; {lived.seconds:.1f} s, of which physics could not keep up with {lived.slipped_s:.2f} s")
        write_json(self.json, lived.to_json(body.rows))
        if self.log is not None:
            lived.save(self.log, body.policy)
            say(f"wrote {self.log}")
        return 0 if body.rows and all(row["success_height"] for row in body.rows) else EXIT_FAILED


@dataclass(frozen=True)
class Rehearse(RobotOptions):
    """Rehearse a bundle: `serve` and `sim-robot` as two processes here, and a verdict."""

    bundle: Annotated[Path, POSITIONAL]
    """What `mimic export --bundle` wrote."""
    out: Path = Path("rehearsal")
    """Folder for what both say and record."""
    duration: float | None = None
    """Seconds; the clip is tracked again and again; default: once."""
    blend_s: float = 2.0
    """Shortest safe start [s]."""
    json: Path | None = None
    """Write the verdict to this file too."""

    def run(self) -> int:
        from mimic.deploy.check import checks_to_json, print_checks
        from mimic.deploy.policy import BundleError, read_bundle
        from mimic.deploy.rehearsal import rehearse, told_of_machine, verdict
        from mimic.runs import require_writable, require_writable_file

        self.check_link()
        require_writable_file(self.json)
        require_above(duration=self.duration, blend_s=self.blend_s)
        require_writable(self.out)
        require_follower(self.bundle)
        try:
            spec, _, clip = read_bundle(self.bundle)  # damage is told before two processes start
        except BundleError as error:
            raise InputError(str(error)) from error
        clip_s = len(clip["qpos"]) / spec["control_rate_hz"]
        say(f"{self.bundle}: {spec['robot']}, {self.duration or self.blend_s + clip_s:.0f} s of real time; logs in {self.out}")
        robot = ["--latency-ms", str(self.latency_ms), "--loss", str(self.loss), "--seed", str(self.seed)]
        robot += ["--from-default"] if self.from_default else []
        robot += ["--duration", str(self.duration)] if self.duration is not None else []
        serve = ["--blend-s", str(self.blend_s), *(["--repeat"] if self.duration is not None else [])]
        load, cores = os.getloadavg()[0], os.cpu_count() or 1
        served, lived = rehearse(self.bundle, self.out, serve, robot)
        checks = verdict(served, lived)
        write_json(self.json, checks_to_json(checks))
        passed = print_checks(self.bundle, checks, refusal="do not plug this in")
        machine = told_of_machine(checks, load, cores)
        if machine:
            say(machine)
        return 0 if passed else EXIT_FAILED


def require_above(**numbers: float | None) -> None:
    """Raise `InputError` for a number of seconds that is not above 0."""
    for name, value in numbers.items():
        if value is not None and not value > 0:
            raise InputError(f"--{name.replace('_', '-')} {value:g}: expected a number above 0")


def check_address(port: int) -> None:
    """Raises `InputError` for a port that cannot be."""
    if not 0 <= port <= MAX_PORT:
        raise InputError(f"--port {port}: expected 0 to {MAX_PORT}")
