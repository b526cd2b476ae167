"""What the runtime and a robot say to each other over UDP: five messages, little-endian, numpy and the standard library only.

Every packet: head (magic, version, kind, number of joints, session, sequence, time), body, crc32 of both. A robot draws a new
session number when it starts and puts it on all it sends; the runtime answers under the same one. Sequences count up, each
side its own. What does not fit is refused, with a reason, and counted: this guards against accidents, not against an enemy.
"""

import json
import math
import struct
import sys
import zlib
from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np

MAGIC, VERSION = b"MIMC", 1
HEAD = struct.Struct("<4sHHHxxxxxxQQd")  # magic, version, kind, joints, -, session, sequence, time [s]
CRC = struct.Struct("<I")
COMMAND_HEAD = struct.Struct("<Hxxi")  # state, -, frame
MAX_PACKET = 60_000  # a UDP packet holds no more

HELLO, STATE, COMMAND, REFUSAL, BYE = range(1, 6)
_KINDS = {HELLO: "hello", STATE: "state", COMMAND: "command", REFUSAL: "refusal", BYE: "bye"}
STATE_FIELDS = ("joint_pos", "joint_vel", "root_quat", "root_angvel", "root_pos", "root_linvel")
COMMAND_FIELDS = ("target", "kp", "kd", "torque")


class PacketError(ValueError):
    """A packet that is not taken; `kind` is a short name to count it under."""

    def __init__(self, kind: str, text: str):
        super().__init__(f"{kind}: {text}")
        self.kind = kind


@dataclass(frozen=True)
class Packet:
    """A packet that was whole and well-formed; `content` holds the arrays of `STATE_FIELDS` or `COMMAND_FIELDS` (and state,
    frame), the table of a hello, or the text of a refusal."""

    kind: int
    joints: int
    session: int
    sequence: int
    time: float
    content: dict[str, Any]


def encode_hello(session: int, sequence: int, time: float, robot: dict[str, Any]) -> bytes:
    """The robot describes itself: joint_names, joint_lower, joint_upper, effort [N m], control_rate_hz."""
    return _packet(HELLO, len(robot["joint_names"]), session, sequence, time, json.dumps(robot).encode())


def encode_state(session: int, sequence: int, time: float, state: dict[str, np.ndarray]) -> bytes:
    """What the robot measured at `time`, by its clock: `STATE_FIELDS` as float32, NaN where it does not know."""
    body = b"".join(np.asarray(state[name], "<f4").tobytes() for name in STATE_FIELDS)
    return _packet(STATE, len(state["joint_pos"]), session, sequence, time, body)


def encode_command(session: int, sequence: int, time: float, command: dict[str, Any]) -> bytes:
    """What each joint is to do: state, frame, and `COMMAND_FIELDS` as float32."""
    body = COMMAND_HEAD.pack(command["state"], command["frame"])
    body += b"".join(np.asarray(command[name], "<f4").tobytes() for name in COMMAND_FIELDS)
    return _packet(COMMAND, len(command["target"]), session, sequence, time, body)


def encode_text(kind: int, session: int, sequence: int, time: float, text: str) -> bytes:
    """REFUSAL: why the runtime will not command this robot. BYE: why the robot leaves."""
    return _packet(kind, 0, session, sequence, time, text.encode()[: MAX_PACKET // 2])


def _packet(kind: int, joints: int, session: int, sequence: int, time: float, body: bytes) -> bytes:
    data = HEAD.pack(MAGIC, VERSION, kind, joints, session, sequence, time) + body
    return data + CRC.pack(zlib.crc32(data))


def decode(data: bytes) -> Packet:
    """Raises `PacketError` unless the packet is whole, ours, and of the size that its number of joints asks for."""
    if len(data) < HEAD.size + CRC.size:
        raise PacketError("truncated", f"{len(data)} bytes, a packet has at least {HEAD.size + CRC.size}")
    magic, version, kind, joints, session, sequence, time = HEAD.unpack_from(data)
    if magic != MAGIC:
        raise PacketError("foreign", f"begins with {magic!r}, expected {MAGIC!r}")
    if version != VERSION:
        raise PacketError("version", f"protocol version {version}, this is {VERSION}")
    (crc,) = CRC.unpack_from(data, len(data) - CRC.size)
    if crc != zlib.crc32(data[: -CRC.size]):
        raise PacketError("damaged", "checksum differs: truncated or changed on its way")
    if kind not in _KINDS or not math.isfinite(time):
        raise PacketError("malformed", f"kind {kind}, time {time}")
    body = data[HEAD.size : -CRC.size]
    read = {HELLO: _read_hello, STATE: _read_state, COMMAND: _read_command}.get(kind, _read_text)
    try:
        return Packet(kind, joints, session, sequence, time, read(body, joints))
    except PacketError:
        raise
    except Exception as error:  # whatever a stranger may send, it must not end who listens
        raise PacketError("malformed", f"a {_KINDS[kind]} that cannot be read: {type(error).__name__}: {error}") from error


def _read_hello(body: bytes, joints: int) -> dict[str, Any]:
    table = json.loads(body)
    names, rate = table["joint_names"], table["control_rate_hz"]
    values = {key: table[key] for key in ("joint_lower", "joint_upper", "effort")}
    good = all(isinstance(column, list) and len(column) == joints for column in (names, *values.values())) and _is_number(rate)
    good = good and all(isinstance(name, str) for name in names)
    if not (good and all(x is None or _is_number(x) for column in values.values() for x in column)):
        raise PacketError("malformed", f"a hello whose rate is no number, or names, limits or efforts no lists of {joints} each")
    for key, none in (("joint_lower", -math.inf), ("joint_upper", math.inf), ("effort", math.inf)):
        values[key] = [none if x is None else x for x in values[key]]
    return {"joint_names": names, "control_rate_hz": rate, **values}


def _is_number(value: Any) -> bool:
    """A finite one that a float can hold: JSON's integers have no end."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max


def _read_state(body: bytes, joints: int) -> dict[str, Any]:
    sizes = (joints, joints, 4, 3, 3, 3)
    return dict(zip(STATE_FIELDS, _arrays(body, sizes, "state")))


def _read_command(body: bytes, joints: int) -> dict[str, Any]:
    arrays = _arrays(body[COMMAND_HEAD.size :], (joints,) * len(COMMAND_FIELDS), "command")
    if not all(np.isfinite(array).all() for array in arrays):
        raise PacketError("malformed", "a command with a number that is not finite")
    state, frame = COMMAND_HEAD.unpack_from(body)
    return {"state": state, "frame": frame, **dict(zip(COMMAND_FIELDS, arrays))}


def _read_text(body: bytes, joints: int) -> dict[str, Any]:
    return {"text": body.decode(errors="replace")}


def _arrays(body: bytes, sizes: tuple[int, ...], kind: str) -> list[np.ndarray]:
    if len(body) != 4 * sum(sizes):
        raise PacketError("malformed", f"a {kind} of {len(body)} bytes, expected {4 * sum(sizes)}")
    return np.split(np.frombuffer(body, "<f4"), np.cumsum(sizes)[:-1])


class Inbox:
    """One side's ear: takes the packets of one session and one number of joints in order, and counts what it refuses.

    `session` None: the first hello opens one.
    """

    def __init__(self, joints: int, session: int | None = None):
        self.joints, self.session = joints, session
        self.taken, self.lost = 0, 0
        self.refused: Counter[str] = Counter()
        self.last_refusal = ""
        self._sequence = -1

    def take(self, data: bytes) -> Packet | None:
        """The packet, or None where it is refused."""
        try:
            packet = decode(data)
            self._check(packet)
        except PacketError as error:
            self.refused[error.kind] += 1
            self.last_refusal = str(error)
            return None
        self.lost += packet.sequence - self._sequence - 1 if self._sequence >= 0 else 0
        self._sequence, self.taken = packet.sequence, self.taken + 1
        return packet

    def _check(self, packet: Packet) -> None:
        if self.session is None and packet.kind == HELLO:
            self.session = packet.session
        if packet.session != self.session:
            raise PacketError("session", f"a {_KINDS[packet.kind]} of session {packet.session}, this is {self.session}")
        if packet.sequence <= self._sequence:
            raise PacketError("replayed", f"number {packet.sequence} after {self._sequence}: late, doubled or replayed")
        if packet.kind in (STATE, COMMAND) and packet.joints != self.joints:
            raise PacketError("joints", f"a {_KINDS[packet.kind]} of {packet.joints} joints, expected {self.joints}")
