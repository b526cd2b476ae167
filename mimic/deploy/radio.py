"""The process around a `SimRobot`: real time by absolute deadlines, and a link that delays and loses packets to order."""

import contextlib
import math
import secrets
import select
import socket
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np

from mimic.deploy.messages import (
    BYE,
    COMMAND,
    MAX_PACKET,
    REFUSAL,
    Inbox,
    encode_hello,
    encode_state,
    encode_text,
)  # fmt: skip
from mimic.deploy.policy import State
from mimic.deploy.sim2sim import Policy
from mimic.deploy.sim_robot import SimRobot
from motions.errors import InputError
from motions.motion import Motion, save_motion

HELLO_EVERY_S = 0.2
PATIENCE_S = 60.0  # without any command at the start
WATCHDOG_S = 0.5  # without any command later on: it damps itself ...
GONE_S = 5.0  # ... and gives up
SLIP_S = 0.25  # physics that is further behind real time than this gives up catching up
TOLD = ("target", "kp", "kd", "torque", "state", "frame")


@dataclass
class Radio:
    """One direction of a radio link: every packet comes `latency_s` later, or with probability `loss` not at all."""

    latency_s: float
    loss: float
    rng: np.random.Generator
    waiting: deque[tuple[float, bytes]] = field(default_factory=deque)
    lost: int = 0

    def put(self, data: bytes, now: float) -> None:
        if self.rng.random() < self.loss:
            self.lost += 1
        else:
            self.waiting.append((now + self.latency_s, data))

    def due(self, now: float) -> list[bytes]:
        """What arrives until now."""
        arrived = []
        while self.waiting and self.waiting[0][0] <= now:
            arrived.append(self.waiting.popleft()[1])
        return arrived

    @property
    def next_due(self) -> float:
        return self.waiting[0][0] if self.waiting else math.inf


@dataclass
class RobotRun:
    """What the process saw: its log at the control rate, its packets, physics time that was let go [s], and why it ended."""

    ended: str = ""
    seconds: float = 0.0
    slipped_s: float = 0.0
    packets: dict[str, Any] = field(default_factory=dict)
    log: dict[str, list[Any]] = field(default_factory=lambda: {name: [] for name in ("time", "qpos", "qvel", *TOLD)})

    def to_json(self, rows: list[dict[str, Any]]) -> dict[str, Any]:
        facts = {"ended": self.ended, "seconds": self.seconds, "slipped_s": self.slipped_s, "packets": self.packets}
        return {"passes": rows, **facts}

    def save(self, path: Path, policy: Policy) -> None:
        """A motion file of what the body did, with when [s] and with what commands it did it."""
        spec, arrays = policy.spec, {name: np.array(values) for name, values in self.log.items()}
        motion = Motion(
            policy.motion.name, spec.robot, 1.0 / spec.ctrl_dt, arrays.pop("qpos"), spec.joint_names,
            source=f"simulation of {policy.motion.name}",
        )  # fmt: skip
        save_motion(motion, path)
        with np.load(path, allow_pickle=False) as data:
            fields = dict(data) | arrays
        np.savez_compressed(path, **fields)  # pyright: ignore[reportArgumentType]


class RobotProcess:
    """A simulated robot at its end of a socket."""

    def __init__(self, robot: SimRobot, host: str, port: int, *, latency_s: float, loss: float, seed: int):
        """Raises `InputError` for an address that cannot be."""
        self.robot, self.session = robot, secrets.randbits(64)
        self.inbox = Inbox(len(robot.policy.spec.joint_names), self.session)
        rng = np.random.default_rng(seed)
        self.uplink, self.downlink = Radio(latency_s, loss, rng), Radio(latency_s, loss, rng)
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            self.socket.connect((host, port))
        except OSError as error:
            self.socket.close()
            raise InputError(f"cannot send to {host}:{port}: {error.strerror}") from error
        self.socket.setblocking(False)
        self._begin = monotonic()
        self._sequence = 0
        self._heard = math.nan  # when the newest command came

    def run(self, duration_s: float | None) -> RobotRun:
        """Live until the clip was tracked once, or for `duration_s` from the first command on, or until the runtime stops it.

        Raises `InputError` where no runtime answers, or where it refuses this robot.
        """
        run, robot, sim_dt = RobotRun(), self.robot, self.robot.policy.spec.sim.sim_dt
        deadline = self._begin = monotonic()
        first, step = math.nan, 0
        try:
            while not run.ended:
                self._exchange_until(deadline)
                now = monotonic()
                self._listen(now)
                if math.isnan(self._heard):
                    self._call(now, step * sim_dt)
                else:
                    first = now if math.isnan(first) else first
                    self._mind_silence(now)
                robot.step()
                self.uplink.put(self._packet(encode_state, robot.measure(), now), now)
                if step % robot.policy.spec.sim.n_substeps == 0:
                    self._record(run, now)
                run.ended = self._ending(now - first, duration_s)
                step, deadline = step + 1, deadline + sim_dt
                if now - deadline > SLIP_S:
                    run.slipped_s, deadline = run.slipped_s + now - deadline, now
        finally:
            self._leave(run)
        return run

    def _ending(self, lived_s: float, duration_s: float | None) -> str:
        if self.robot.command["state"] == State.STOP:
            return "the runtime stopped it"
        if monotonic() - self._heard > GONE_S:
            return f"no command for {GONE_S:g} s"
        if duration_s is None:
            return "the clip is over" if self.robot.rows else ""
        return "the duration asked for is over" if lived_s > duration_s else ""

    def _exchange_until(self, deadline: float) -> None:
        """Move packets between the socket and the link, asleep while nothing happens."""
        while True:
            now = monotonic()
            for data in self.uplink.due(now):
                with contextlib.suppress(OSError):  # nobody listens there yet, or any more
                    self.socket.send(data)
            if now >= deadline:
                return
            until = min(deadline, self.uplink.next_due) - now
            if select.select([self.socket], [], [], max(until, 0.0))[0]:
                with contextlib.suppress(OSError):
                    self.downlink.put(self.socket.recv(MAX_PACKET), monotonic())

    def _listen(self, now: float) -> None:
        for data in self.downlink.due(now):
            packet = self.inbox.take(data)
            if packet is not None and packet.kind == REFUSAL:
                raise InputError(f"the runtime refused this robot: {packet.content['text']}")
            if packet is not None and packet.kind == COMMAND:
                self._heard = now
                self.robot.obey(packet.content)

    def _call(self, now: float, waited_s: float) -> None:
        """Say what robot this is, every `HELLO_EVERY_S`, until a command comes."""
        if waited_s > PATIENCE_S:
            raise InputError(f"no runtime answered within {PATIENCE_S:g} s; start `mimic serve BUNDLE`, then this again")
        if waited_s % HELLO_EVERY_S < self.robot.policy.spec.sim.sim_dt:
            self.uplink.put(self._packet(encode_hello, self.robot.description(), now), now)

    def _mind_silence(self, now: float) -> None:
        if now - self._heard > WATCHDOG_S:
            self.robot.damp()

    def _packet(self, encode: Callable[..., bytes], content: Any, now: float) -> bytes:
        self._sequence += 1
        return encode(self.session, self._sequence, now - self._begin, content)

    def _record(self, run: RobotRun, now: float) -> None:
        robot = self.robot
        parts = {"time": now - self._begin, "qpos": robot.data.qpos.copy(), "qvel": robot.data.qvel.copy()}
        for name, value in (parts | {name: robot.command[name] for name in TOLD}).items():
            run.log[name].append(value)

    def _leave(self, run: RobotRun) -> None:
        """Say goodbye (three times: it may be lost) and sum up."""
        self.robot.finish()
        goodbyes = [self._packet(partial(encode_text, BYE), run.ended or "it was ended", monotonic()) for _ in range(3)]
        for data in (*self.uplink.due(math.inf), *goodbyes):
            with contextlib.suppress(OSError):
                self.socket.send(data)
        self.socket.close()
        run.seconds = monotonic() - self._begin
        run.packets = {
            "taken": self.inbox.taken, "lost": self.inbox.lost, "refused": dict(self.inbox.refused),
            "dropped_to_order": {"to_runtime": self.uplink.lost, "to_robot": self.downlink.lost},
        }  # fmt: skip
