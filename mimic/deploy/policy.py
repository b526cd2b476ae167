"""A policy on the robot itself: numpy and onnxruntime, nothing else. This file is copied into every bundle as it is.

    controller = Controller("bundle")
    controller.check_robot(joint_names, control_rate_hz=50, joint_lower=..., joint_upper=...)
    command = controller.step(now, sample)  # once per control step; send what is in the command

A state machine without a clock of its own; docs/deploy.md says what leads from one state to another, and what each sends.
Quaternions wxyz, z up, SI units, radians, float32. Angular velocity in the root's own frame.
"""

import enum
import hashlib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

KIND, SCHEMA = "mimic policy", 1
SAME = 1e-3  # two descriptions of one robot agree to this: limits in [rad]; rate, efforts and gains relative
# Size of each measurement (0: one per joint), and what is beyond belief: [rad], [rad/s], unit, [rad/s], [m], [m/s]
FIELDS = {"joint_pos": (0, 100.0), "joint_vel": (0, 100.0), "root_quat": (4, 1.1), "root_angvel": (3, 100.0),
          "root_pos": (3, 1e4), "root_linvel": (3, 50.0)}  # fmt: skip
ESTIMATED = ("root_pos", "root_linvel")  # no sensor measures these, and only some policies need them
f32 = partial(np.asarray, dtype=np.float32)
CONJUGATE = f32([1, -1, -1, -1])


class BundleError(ValueError):
    """A bundle that is damaged, or a robot that is not the policy's. Its text says what is wrong and what was expected."""


class State(enum.IntEnum):
    WAIT = 0  # no torque: nothing usable has come yet
    BLEND = 1  # safe start: from the pose it was found in to the clip's first frame
    RUN = 2  # the policy
    HOLD = 3  # the last command, while the input is bad
    DAMP = 4  # kp = 0: it sinks slowly; leads to STOP only
    STOP = 5  # no torque, for good


@dataclass(frozen=True)
class Safety:
    blend_s: float = 2.0  # shortest safe start [s] ...
    blend_speed: float = 1.0  # ... which is longer where a joint's target would move faster than this [rad/s]
    start_error: float = 0.5  # largest distance of a joint from the clip's first frame at its end [rad]
    max_age_s: float = 0.05  # oldest measurement that is acted upon [s]
    clock_jump_s: float = 0.1  # two clocks that part by more than this between two messages: one of them jumped [s]
    hold_s: float = 0.2  # longest HOLD, and longest delay of a step [s]
    damp_s: float = 2.0  # length of DAMP [s]
    limit_margin: float = 0.25  # how far beyond its limit a joint may be [rad]; MuJoCo's stops give way by as much


@dataclass(frozen=True)
class Command:
    """For one control step, joints in the robot's order: clip(kp (target - q) - kd qdot + torque, -effort, effort) [N m]."""

    state: State
    reason: str
    frame: int
    target: np.ndarray
    kp: np.ndarray
    kd: np.ndarray
    torque: np.ndarray


class Controller:
    """One policy in control of one robot. `on_change(before, after, reason)` is called whenever the state changes."""

    def __init__(self, bundle: str | Path, safety: Safety | None = None, *, repeat: bool = False):
        """Read a bundle folder. Raises `BundleError` where a file is missing or damaged. repeat: when the clip has ended begin
        again (at once if it loops, else by a safe start), rather than hold its last frame."""
        self.spec, self._session, clip = spec, session, _ = read_bundle(Path(bundle))
        self.safety, self.repeat = safety or Safety(), repeat
        self.on_change: Callable[[State, State, str], None] = lambda before, after, reason: None
        self.joint_names, self.ctrl_dt = tuple(spec["joint_names"]), 1.0 / spec["control_rate_hz"]
        self._inputs, self._outputs = {i.name: i.shape for i in session.get_inputs()}, [o.name for o in session.get_outputs()]
        self.needs = [name for name in FIELDS if name not in ESTIMATED or name in self._inputs]
        self._kp, self._kd, self._effort = (f32(spec[key]) for key in ("kp", "kd", "effort"))
        self._lower, self._upper = f32(spec["joint_lower"]) + f32(1e-6), f32(spec["joint_upper"]) - f32(1e-6)  # rounding
        self._reference, self._start = clip["xquat"][:, clip["body_names"].tolist().index(spec["anchor_body"])], clip["qpos"][0]
        self._to_ours = self._to_robots = np.arange(len(self.joint_names))
        self.state, self.reason, self.frame, self._mode = State.WAIT, "no measurement yet", 0, State.BLEND  # HOLD returns to it
        self._now = self._seen_time = self._seen_received = math.nan
        self._mode_s, self._held_s, self._told, self._sample = 0.0, 0.0, State.WAIT, None  # told: the state of the last command
        self._bound(f32(spec["default_joints"]))
        still = {name: f32(np.zeros(size or len(self._kp))) for name, (size, _) in FIELDS.items()}
        self._begin_policy(still)
        self._infer(still)  # onnxruntime's first run is slow

    def check_robot(self, joint_names: Sequence[str], *, control_rate_hz: float, reorder: bool = False, **values: Any) -> None:
        """Raise `BundleError`, which lists all differences, unless the robot is the policy's. values: any of joint_lower,
        joint_upper [rad] (-inf, inf: none), effort, kp, kd, in the robot's order. reorder: allow the same joints in another
        order; samples and commands have the robot's order from then on."""
        theirs, ours = list(joint_names), list(self.joint_names)
        found = [f"the robot has no joint {name!r}" for name in ours if name not in theirs]
        found += [f"the policy has no joint {name!r}" for name in theirs if name not in ours]
        found += [f"the robot names joint {name!r} more than once" for name in ours if theirs.count(name) > 1]
        order = [ours.index(name) for name in theirs] if not found else []
        for i, j in enumerate(order if not reorder else []):
            found += [f"joint {i} is {theirs[i]!r}, expected {ours[i]!r} (the order differs)"] if i != j else []
        if not abs(control_rate_hz * self.ctrl_dt - 1) <= SAME:
            found.append(f"its control rate is {control_rate_hz:g} Hz, expected {1 / self.ctrl_dt:g} Hz")
        for key, given in values.items():
            found += [f"{len(given)} values of {key} for {len(theirs)} joints"] if len(given) != len(theirs) else []
            for name, value in zip(theirs, given) if len(given) == len(theirs) else ():
                wanted = self.spec[key][ours.index(name)] if name in ours else value  # else it was found above
                if value != wanted and not abs(value - wanted) <= SAME * (1 if key.startswith("joint") else abs(wanted)):
                    found.append(f"{key} of {name!r} is {value:g}, expected {wanted:g}")
        if found:
            raise BundleError("this robot is not the policy's:\n  " + "\n  ".join(found))
        self._to_robots, self._to_ours = np.array(order), np.argsort(order)

    def step(self, now: float, sample: Mapping[str, Any] | None) -> Command:
        """The command of this control step. Raises nothing. now [s]: any monotonic clock. sample: the newest, seen before or not:
        the `FIELDS` it `needs`, joints in the robot's order; "time" [s] by the robot's clock, "received" [s] by that of `now`."""
        gap, self._sample = self.ctrl_dt if math.isnan(self._now) else now - self._now, sample
        fault = "" if 0 < gap < math.inf else f"the runtime's clock went from {self._now:g} to {now:g} s"
        gap, longest = self.ctrl_dt if fault else gap, self.safety.hold_s + self.ctrl_dt
        if gap > longest and State.WAIT < self.state < State.DAMP:
            self.stop(f"no step for {gap:.3f} s, at most {longest:.3f} s allowed")
        self._now = now if math.isfinite(now) else self._now
        self._held_s += gap if self.state is self._told else 0.0  # a stall before HOLD or DAMP is no part of it
        if self.state is State.DAMP and self._held_s > self.safety.damp_s:
            self._change(State.STOP, self.reason)
        elif self.state < State.DAMP:
            if self._mode is State.RUN or self.state is State.BLEND:  # the clip goes on during HOLD, the safe start does not
                self._mode_s += gap
            try:
                self._control(self._measured(now, sample, fault))
            except Exception as error:  # whatever it is, a robot must not be left without a command
                if self.state is State.WAIT:
                    self.reason = str(error)
                elif self.state is not State.HOLD:
                    self._change(State.HOLD, str(error))
                elif self._held_s >= self.safety.hold_s:
                    self.stop(f"{error}; held for {self._held_s:.2f} s")
        active, self._told = State.WAIT < self.state < State.DAMP, self.state
        parts = self._target, self._kp * active, self._kd * (active or self.state is State.DAMP), self._torque * active
        return Command(self.state, self.reason, self.frame, *(part[self._to_robots] for part in parts))

    def warm(self) -> None:
        """Do the last step's work again, for nothing: a step right behind it finds code and weights in the processor's caches."""
        self._infer(self._last)
        self._measured(self._now, self._sample, "")

    def stop(self, reason: str) -> None:
        """Damp, then no torque."""
        if self.state < State.DAMP:
            self._change(State.STOP if self.state is State.WAIT else State.DAMP, reason)

    def _change(self, state: State, reason: str) -> None:
        before, self.state, self.reason, self._held_s = self.state, state, reason, 0.0
        self._mode = state if state in (State.BLEND, State.RUN) else self._mode
        self.on_change(before, state, reason)

    def _measured(self, now: float, sample: Mapping[str, Any] | None, fault: str) -> dict[str, np.ndarray]:
        """The sample's numbers, joints in the policy's order. Raises `ValueError` or the like for what is wrong with them."""
        if sample is None or fault:
            raise ValueError(fault or "no message from the robot")
        time, received = float(sample["time"]), float(sample["received"])
        went, passed = time - self._seen_time, received - self._seen_received  # NaN at first: no jump
        if went != 0:  # the same measurement again is as old as it was
            self._seen_time, self._seen_received = time, received
            if went < 0 or abs(went - passed) > self.safety.clock_jump_s:
                raise ValueError(f"the robot's clock went on by {went:.3f} s within {passed:.3f} s")
        age = now - self._seen_received
        if not (abs(age) <= self.safety.max_age_s and math.isfinite(time)):
            raise ValueError(f"the newest measurement, of {time:.3f} s, is {age:.3f} s old, over {self.safety.max_age_s:g} s")
        values = {name: np.array(sample[name], np.float64) for name in self.needs}
        for name, value in values.items():
            size, bound = FIELDS[name]
            if value.shape != (size or len(self._kp),):
                raise ValueError(f"{name} has shape {value.shape}, expected ({size or len(self._kp)},)")
            values[name] = value = value if size else value[self._to_ours]
            worst = int(np.argmax(np.where(np.isfinite(value), np.abs(value), np.inf)))
            if not abs(value[worst]) <= bound:
                raise ValueError(f"{name} of {worst if size else self.joint_names[worst]} is {value[worst]:g}, beyond {bound:g}")
        if not abs((length := np.linalg.norm(values["root_quat"])) - 1) <= 0.1:
            raise ValueError(f"root_quat has length {length:g}, expected 1")
        values["root_quat"] /= length
        return {name: f32(value) for name, value in values.items()}

    def _control(self, values: dict[str, np.ndarray]) -> None:
        joint_pos = values["joint_pos"]
        worst = int(np.argmax(beyond := np.maximum(self._lower - joint_pos, joint_pos - self._upper)))
        if beyond[worst] > self.safety.limit_margin:
            return self.stop(f"{self.joint_names[worst]} is at {joint_pos[worst]:.3f} rad, {beyond[worst]:.3f} beyond its limit")
        if self.state is State.WAIT:
            self._bound(joint_pos)
            self._begin_blend("first measurement")
        self._blend(values) if self._mode is State.BLEND else self._run(values)
        if self.state is State.HOLD:
            self._change(self._mode, "the input is good again")

    def _begin_blend(self, reason: str) -> None:
        """From the last target to the first frame; a smoothstep is 1.5 times as fast in its middle as on average."""
        self._from, self._to = self._target, np.clip(f32(self._start[7:]), self._lower, self._upper)
        fastest = 1.5 * float(np.abs(self._to - self._from).max()) / self.safety.blend_speed
        self._blend_s, self._mode_s, self.frame = max(self.safety.blend_s, fastest, self.ctrl_dt), 0.0, 0
        self._change(State.BLEND, reason)

    def _blend(self, values: dict[str, np.ndarray]) -> None:
        part = min(self._mode_s / self._blend_s, 1.0)
        self._bound(self._from + f32((3 - 2 * part) * part**2) * (self._to - self._from))
        worst = int(np.argmax(error := np.abs(values["joint_pos"] - self._to)))
        if part == 1 and error[worst] > self.safety.start_error:
            self.stop(f"{self.joint_names[worst]} is still {error[worst]:.2f} rad away after the safe start")
        elif part == 1:
            self._mode_s = 0.0
            self._begin_policy(values)
            self._change(State.RUN, "at the clip's first frame")
            self._run(values)

    def _begin_policy(self, values: dict[str, np.ndarray]) -> None:
        """From now on what is measured is turned and moved: the robot faces and stands as the clip's first frame does."""
        w, x, y, z = multiply(self._reference[0], self._anchor(values) * CONJUGATE).tolist()
        half = 0.5 * math.atan2(2 * (w * z + x * y), 1 - 2 * (y * y + z * z))  # about world z
        self._turn = f32([math.cos(half), 0, 0, math.sin(half)])
        self._shift = f32([1, 1, 0]) * (self._start[:3] - rotate(self._turn, {"root_pos": self._start[:3], **values}["root_pos"]))
        self._action, self._first = np.zeros(len(self._kp), np.float32), True
        self._history = np.zeros(self._inputs.get("history", [0])[-1], np.float32)

    def _run(self, values: dict[str, np.ndarray]) -> None:
        frames, loop = len(self._reference), bool(self.spec["motion"]["loop"])
        if self.repeat and round((self._mode_s - (0.0 if loop else 0.5)) / self.ctrl_dt) >= frames:  # it rests for half a second
            if not loop:
                return self._begin_blend("the clip has ended: again")
            self._mode_s -= frames * self.ctrl_dt
            self._begin_policy(values)
        self.frame = min(round(self._mode_s / self.ctrl_dt), frames - 1)
        (w, x, y, z), (p, q, r, s) = self._anchor(values).tolist(), self._reference[self.frame].tolist()
        level = 4 * (x * z - w * y) * (q * s - p * r) + 4 * (y * z + w * x) * (r * s + p * q)  # up, as each of the two has it
        tilt = math.acos(min(max(level + (1 - 2 * (x * x + y * y)) * (1 - 2 * (q * q + r * r)), -1.0), 1.0))
        if tilt > self.spec["termination"]["anchor_angle"]:
            return self.stop(f"fallen: {self.spec['anchor_body']} leans {tilt:.2f} rad away from the clip's frame {self.frame}")
        outputs = self._infer(values)
        if not all(np.isfinite(value).all() for value in outputs.values()):
            raise ValueError("the network gave a number that is not finite")
        self._bound(outputs["target"])
        self._action, self._history, self._first = outputs["action"], outputs.get("next_history", self._history), False

    def _infer(self, values: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Run the graph on what was measured, in the clip's world."""
        self._last, given = values, values | {"root_quat": multiply(self._turn, values["root_quat"])}
        given |= {name: rotate(self._turn, values[name]) for name in ESTIMATED if name in values}
        given |= {"root_pos": given["root_pos"] + self._shift} if "root_pos" in given else {}
        given |= {"last_action": self._action, "history": self._history, "first": np.array(self._first)}
        given["frame"] = np.array(self.frame, np.int64)
        return dict(zip(self._outputs, map(f32, self._session.run(None, {name: given[name] for name in self._inputs}))))

    def _anchor(self, values: dict[str, np.ndarray]) -> np.ndarray:
        """The anchor body's orientation: the root's, turned by the joints between them."""
        quat = values["root_quat"]
        for link in self.spec["anchor_chain"]:
            half = 0.0 if link["joint"] is None else 0.5 * float(values["joint_pos"][link["joint"]])
            quat = multiply(multiply(quat, f32(link["quat"])), f32([math.cos(half), *(math.sin(half) * a for a in link["axis"])]))
        return quat

    def _bound(self, target: np.ndarray) -> None:
        """Keep the target within the joint limits; the torque that is lost by it, up to the joint's effort, is sent as such."""
        self._target = np.minimum(np.maximum(target, self._lower), self._upper)  # np.clip takes longer
        self._torque = np.minimum(np.maximum(self._kp * (target - self._target), -self._effort), self._effort)


def multiply(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    (p, q, r, s), (w, x, y, z) = a.tolist(), b.tolist()
    vector = p * x + q * w + r * z - s * y, p * y - q * z + r * w + s * x, p * z + q * y - r * x + s * w
    return f32([p * w - q * x - r * y - s * z, *vector])


def rotate(quat: np.ndarray, vector: np.ndarray) -> np.ndarray:
    return multiply(multiply(quat, f32([0, *vector])), quat * CONJUGATE)[1:]


def read_bundle(folder: Path) -> tuple[dict[str, Any], onnxruntime.InferenceSession, dict[str, np.ndarray]]:
    """policy.json (no limit: +-inf), the raw graph and the clip. Raises `BundleError`."""
    try:
        spec = json.loads((folder / "policy.json").read_text())
        if spec["kind"] != KIND or not spec["schema"] <= SCHEMA:
            raise ValueError(f"it is {spec['kind']!r} of schema {spec['schema']}, expected {KIND!r} up to {SCHEMA}")
        for key, none in (("joint_lower", -math.inf), ("joint_upper", math.inf)):
            spec[key] = [none if value is None else value for value in spec[key]]
        for file in spec["files"].values():
            if hashlib.sha256((folder / file["name"]).read_bytes()).hexdigest() != file["sha256"]:
                raise ValueError(f"{file['name']} is not the file that was exported (checksum differs); is it whole?")
        with np.load(folder / spec["files"]["motion"]["name"], allow_pickle=False) as data:
            clip = {name: data[name] for name in ("qpos", "xquat", "body_names")}
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1  # fastest for a small network
        return spec, onnxruntime.InferenceSession(folder / spec["files"]["raw"]["name"], options, ["CPUExecutionProvider"]), clip
    except OSError as error:
        raise BundleError(f"{error.filename}: {error.strerror}; expected a folder written by `mimic export --bundle`") from error
    except Exception as error:  # onnxruntime's have no other base
        raise BundleError(f"{folder}: not a whole bundle: {type(error).__name__}: {error}") from error
