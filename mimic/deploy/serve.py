"""`mimic serve`: steps the `Controller` at its control rate, between a robot's messages and the commands to it.

Deadlines are absolute: a late step does not delay the next. Between them the socket is awaited; the last part of a
millisecond is spun. Nothing here decides: what a robot is told, and why, is `policy.py`'s.
"""

import contextlib
import gc
import json
import select
import signal
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any, TextIO

import numpy as np

from mimic.deploy.messages import (
    BYE,
    HELLO,
    MAX_PACKET,
    REFUSAL,
    STATE,
    Inbox,
    Packet,
    encode_command,
    encode_text,
)
from mimic.deploy.policy import BundleError, Command, Controller, State
from motions.errors import InputError

# Out of a sleep of 20 ms a step takes five times as long as right behind others: from so long before a step until so long
# before it the runtime does the last one again and again.
WARM_S, WARMED_S = 0.003, 0.0006
SPIN_S = 0.0003  # a sleeping process wakes up late by less than this on a quiet machine
FAREWELLS = 10  # STOP commands sent before the runtime leaves: some may be lost


@dataclass
class Served:
    """What one run of the server was like. Times [ms] per step: `late`, from its deadline to its beginning; `step`, from there
    until its command was sent; `age` of the measurement it used."""

    late_ms: list[float] = field(default_factory=list)
    step_ms: list[float] = field(default_factory=list)
    age_ms: list[float] = field(default_factory=list)
    missed_steps: int = 0
    changes: list[dict[str, Any]] = field(default_factory=list)
    packets: dict[str, Any] = field(default_factory=dict)
    ended: str = ""
    by_fault: bool = False
    seconds: float = 0.0

    def to_json(self) -> dict[str, Any]:
        return {
            "steps": len(self.late_ms),
            "seconds": self.seconds,
            "missed_steps": self.missed_steps,
            "jitter_ms": _spread(self.late_ms),
            "step_ms": _spread(self.step_ms),
            "age_ms": _spread(self.age_ms),
            "packets": self.packets,
            "changes": self.changes,
            "ended": self.ended,
            "by_fault": self.by_fault,
        }

    def report(self, say: Callable[[str], None]) -> None:
        """The lines for people."""
        late, step, packets = _spread(self.late_ms), _spread(self.step_ms), self.packets
        say(f"{len(self.late_ms)} steps in {self.seconds:.1f} s, {self.missed_steps} missed")
        if self.late_ms:
            say(f"jitter p50 {late['p50']:.3f}, p99 {late['p99']:.3f}, max {late['max']:.3f} ms")
            say(f"step   p50 {step['p50']:.3f}, p99 {step['p99']:.3f}, max {step['max']:.3f} ms")
        if packets:
            refused = ", ".join(f"{count} {kind}" for kind, count in packets["refused"].items()) or "none"
            say(f"packets: {packets['taken']} taken, {packets['lost']} lost on the way, refused: {refused}")
        say(f"ended: {self.ended}")


def _numbers(values: np.ndarray) -> list[float | None]:
    """For JSON, which has no NaN."""
    return [round(value, 5) if np.isfinite(value) else None for value in values.tolist()]


def _spread(values: list[float]) -> dict[str, float | None]:
    if not values:
        return {"p50": None, "p99": None, "max": None}
    p50, p99, most = np.percentile(values, [50, 99, 100])
    return {"p50": float(p50), "p99": float(p99), "max": float(most)}


class Server:
    """One controller, one socket, one robot: the first whose description is the policy's."""

    def __init__(self, controller: Controller, host: str, port: int, *, reorder: bool = False, log: TextIO | None = None):
        """Raises `InputError` where the port is taken or the host is not this machine's."""
        self.controller, self.reorder, self.log = controller, reorder, log
        self.inbox = Inbox(len(controller.joint_names))
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            self.socket.bind((host, port))
        except OSError as error:
            self.socket.close()
            raise InputError(f"cannot listen on {host}:{port}: {error.strerror}; name another with --port or --host") from error
        self.socket.setblocking(False)
        self.address: tuple[str, int] = self.socket.getsockname()
        self._robot: tuple[str, int] | None = None
        self._sample: dict[str, Any] | None = None
        self._sequence = 0
        self._left = ""
        self._asked_to_stop = ""

    def __enter__(self) -> "Server":
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def ask_to_stop(self, reason: str) -> None:
        """Damp and stop at the next step; for a signal's handler."""
        self._asked_to_stop = reason

    def run(self, duration_s: float | None, say: Callable[[str], None]) -> Served:
        """Wait for a robot, then step until it leaves, the controller has stopped, or `duration_s` is over.

        Raises `BundleError` where the robot is not the policy's; the robot is told so.
        """
        served = Served()
        self._greet(say)
        if self._robot is None:
            served.ended = f"{self._asked_to_stop} before a robot came"
            return served
        begin = monotonic()
        self.controller.on_change = lambda before, after, reason: self._changed(served, begin, before, after, reason, say)
        with _no_garbage_collection():
            self._steps(served, begin, duration_s)
        served.seconds = monotonic() - begin
        served.ended = self._left or f"{self.controller.state.name}: {self.controller.reason}"
        served.by_fault = self.controller.state in (State.DAMP, State.STOP) and not self._asked_to_stop
        inbox = self.inbox
        served.packets = {"taken": inbox.taken, "lost": inbox.lost, "refused": dict(inbox.refused)}
        if inbox.last_refusal:
            served.packets["last_refusal"] = inbox.last_refusal
        return served

    def _greet(self, say: Callable[[str], None]) -> None:
        say(f"waiting for a robot on {self.address[0]}:{self.address[1]} (UDP)")
        while self._robot is None and not self._asked_to_stop:
            select.select([self.socket], [], [], 0.1)
            for packet, sender in self._received():
                if packet.kind == HELLO:
                    self._meet(packet, sender)
        if self._robot is not None:
            say(f"a robot of {len(self.controller.joint_names)} joints at {self._robot[0]}:{self._robot[1]}: safe start")

    def _meet(self, hello: Packet, sender: tuple[str, int]) -> None:
        try:
            self.controller.check_robot(**hello.content, reorder=self.reorder)
        except BundleError as error:
            with contextlib.suppress(OSError):  # the refusal is a courtesy
                self.socket.sendto(encode_text(REFUSAL, hello.session, 0, monotonic(), str(error)), sender)
            raise
        self._robot = sender

    def _steps(self, served: Served, begin: float, duration_s: float | None) -> None:
        controller, ctrl_dt, farewells = self.controller, self.controller.ctrl_dt, 0
        deadline = monotonic() + ctrl_dt
        while not self._left and farewells < FAREWELLS:
            self._listen_until(deadline)
            now = monotonic()
            late = now - deadline
            skipped = int(late / ctrl_dt)
            if self._asked_to_stop:
                controller.stop(self._asked_to_stop)
            elif duration_s is not None and now - begin > duration_s:
                self.ask_to_stop("the duration asked for is over")
            command = controller.step(now, self._sample)
            self._send(command, now)
            done = monotonic()
            served.missed_steps += skipped
            served.late_ms.append(1e3 * late)
            served.step_ms.append(1e3 * (done - now))
            served.age_ms.append(1e3 * (now - self._sample["received"]) if self._sample else 0.0)
            self._record(served, now - begin, command)
            farewells += command.state is State.STOP
            deadline += (1 + skipped) * ctrl_dt

    def _listen_until(self, deadline: float) -> None:
        self._listen(deadline - WARM_S)
        while monotonic() < deadline - WARMED_S:
            with contextlib.suppress(Exception):  # what is wrong the step itself will say, and act upon
                self.controller.warm()
        self._listen(deadline - SPIN_S)
        self._take()
        while monotonic() < deadline:
            pass

    def _listen(self, until: float) -> None:
        while (left := until - monotonic()) > 0:
            if select.select([self.socket], [], [], left)[0]:
                self._take()

    def _take(self) -> None:
        for packet, _ in self._received():
            if packet.kind == STATE:
                self._sample = {"time": packet.time, "received": monotonic(), **packet.content}
            elif packet.kind == BYE:
                self._left = f"the robot left: {packet.content['text']}"

    def _received(self) -> Iterator[tuple[Packet, tuple[str, int]]]:
        """The packets that wait in the socket and are in order; of the robot alone once there is one."""
        while True:
            try:
                data, sender = self.socket.recvfrom(MAX_PACKET)
            except BlockingIOError:
                return
            except OSError:  # a robot's port that was closed answers to what was sent to it
                continue
            if self._robot not in (None, sender):  # before the inbox, whose sequence is the robot's
                self.inbox.refused["sender"] += 1
            elif (packet := self.inbox.take(data)) is not None:
                yield packet, sender

    def _send(self, command: Command, now: float) -> None:
        assert self.inbox.session is not None
        assert self._robot is not None
        self._sequence += 1
        packet = encode_command(self.inbox.session, self._sequence, now, vars(command))
        with contextlib.suppress(OSError):  # a robot that has left, or a full buffer: as good as a lost packet
            self.socket.sendto(packet, self._robot)

    def _changed(
        self, served: Served, begin: float, before: State, after: State, reason: str, say: Callable[[str], None]
    ) -> None:
        change = {"t": round(monotonic() - begin, 4), "from": before.name, "to": after.name, "reason": reason}
        served.changes.append(change)
        self._write(change)
        say(f"{change['t']:9.3f} s  {before.name} -> {after.name}: {reason}")

    def _record(self, served: Served, t: float, command: Command) -> None:
        if self.log is None:
            return
        line: dict[str, Any] = {"t": round(t, 5), "state": command.state.name, "frame": command.frame}
        line |= {"late_ms": round(served.late_ms[-1], 3), "step_ms": round(served.step_ms[-1], 3)}
        if self._sample is not None:
            line |= {"age_ms": round(served.age_ms[-1], 3)}
            line |= {"joint_pos": _numbers(self._sample["joint_pos"])}
        self._write(line | {"target": _numbers(command.target)})

    def _write(self, line: dict[str, Any]) -> None:
        if self.log is not None:
            self.log.write(json.dumps(line) + "\n")


@contextlib.contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """A collection would make a step late; what is alive now need not be looked at again."""
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        gc.unfreeze()


@contextlib.contextmanager
def interrupts(server: Server) -> Iterator[None]:
    """The first Ctrl-C damps and stops the robot; the second ends the process."""

    def handle(number: int, frame: Any) -> None:
        signal.signal(number, before[number])
        server.ask_to_stop("interrupted")

    before: dict[int, Any] = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def open_log(path: Path | None) -> contextlib.AbstractContextManager[TextIO | None]:
    """Raises `InputError` where it cannot be written."""
    if path is None:
        return contextlib.nullcontext()
    try:
        return path.open("w")
    except OSError as error:
        raise InputError(f"cannot write the log {path}: {error.strerror}") from error
