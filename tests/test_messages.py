"""Packets: what was sent is read, and nothing else is: truncated, changed, replayed, of another version, session or robot."""

import json
import math
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mimic.deploy.messages import (
    BYE,
    COMMAND,
    COMMAND_FIELDS,
    HELLO,
    REFUSAL,
    STATE,
    STATE_FIELDS,
    Inbox,
    PacketError,
    decode,
    encode_command,
    encode_hello,
    encode_state,
    encode_text,
)

SESSION = 2**63 + 5
RNG = np.random.default_rng(0)
MEASURED = {name: RNG.normal(size=size).astype(np.float32) for name, size in zip(STATE_FIELDS, (4, 4, 4, 3, 3, 3))}
MEASURED["root_pos"][:] = np.nan  # a robot that does not know where it is
TOLD = {name: RNG.normal(size=4).astype(np.float32) for name in COMMAND_FIELDS} | {"state": 2, "frame": 17}
ROBOT = {
    "joint_names": ["a", "b", "c", "d"], "joint_lower": [-1.0, None, -1.0, -1.0], "joint_upper": [1.0, 1.0, None, 1.0],
    "effort": [3.0] * 4, "control_rate_hz": 50.0,
}  # fmt: skip


def hello(sequence: int = 1, session: int = SESSION) -> bytes:
    return encode_hello(session, sequence, 0.5, ROBOT)


def state(sequence: int = 1, session: int = SESSION) -> bytes:
    return encode_state(session, sequence, 1.25, MEASURED)


def command(sequence: int = 1, **changes) -> bytes:
    return encode_command(SESSION, sequence, 2.5, TOLD | changes)


def test_what_is_sent_is_read():
    packet = decode(state(7))
    assert (packet.kind, packet.session, packet.sequence, packet.time) == (STATE, SESSION, 7, 1.25)
    for name, values in MEASURED.items():
        np.testing.assert_array_equal(packet.content[name], values)
    packet = decode(command())
    assert (packet.kind, packet.content["state"], packet.content["frame"]) == (COMMAND, 2, 17)
    for name in COMMAND_FIELDS:
        np.testing.assert_array_equal(packet.content[name], TOLD[name])
    unlimited = {"joint_lower": [-1, -np.inf, -1, -1], "joint_upper": [1, 1, np.inf, 1]}
    assert decode(hello()).content == ROBOT | unlimited
    assert decode(encode_text(REFUSAL, SESSION, 3, 0.0, "nein")).content == {"text": "nein"}
    assert decode(encode_text(BYE, SESSION, 3, 0.0, "x" * 100_000)).kind == BYE


def test_the_layout_is_as_documented():
    """Read with nothing but `struct`, by the table in docs/deploy.md."""
    data = command(9)
    assert len(data) == 40 + 8 + 16 * 4 + 4
    magic, version, kind, joints, session, sequence, time = struct.unpack("<4sHHHxxxxxxQQd", data[:40])
    assert (magic, version, kind, joints, session, sequence, time) == (b"MIMC", 1, 3, 4, SESSION, 9, 2.5)
    assert struct.unpack("<Hxxi", data[40:48]) == (2, 17)
    np.testing.assert_array_equal(struct.unpack("<4f", data[48:64]), TOLD["target"])
    assert struct.unpack("<I", data[-4:])[0] == zlib.crc32(data[:-4])
    assert len(state()) == 40 + 4 * (2 * 4 + 13) + 4


@pytest.mark.parametrize("data", [hello(), state(), command()])
def test_a_truncated_packet_is_refused_wherever_it_was_cut(data: bytes):
    for length in range(len(data)):
        with pytest.raises(PacketError):
            decode(data[:length])


@given(place=st.integers(0, len(state()) - 1), change=st.integers(1, 255))
def test_a_changed_byte_is_noticed(place: int, change: int):
    data = bytearray(state())
    data[place] ^= change
    with pytest.raises(PacketError):
        decode(bytes(data))


@given(data=st.binary(max_size=200), whole=st.booleans(), kind=st.integers(0, 7), joints=st.integers(0, 65535))
def test_whatever_comes_only_a_packet_error_is_raised(data: bytes, whole: bool, kind: int, joints: int):
    """Noise, and noise with a head and a checksum that are right."""
    if whole:
        data = struct.pack("<4sHHHxxxxxxQQd", b"MIMC", 1, kind, joints, SESSION, 1, 0.0) + data
        data += struct.pack("<I", zlib.crc32(data))
    inbox = Inbox(4, SESSION)
    packet = inbox.take(data)
    assert (packet is None) == (inbox.refused.total() == 1)


@pytest.mark.parametrize(
    "changes",
    [{"joint_names": ["a", "b"]}, {"joint_names": "abcd"}, {"joint_names": [1, 2, 3, 4]}, {"control_rate_hz": "50"},
     {"control_rate_hz": True}, {"joint_lower": 3}, {"effort": ["a"] * 4}, {"effort": [True] * 4},
     {"control_rate_hz": 10**400}, {"effort": [-(10**400)] * 4}, {"joint_upper": [math.nan] * 4},
     {"joint_lower": [-1.0] * 3}, {"joint_upper": [1.0] * 5}, {"effort": []}],
)  # fmt: skip
def test_a_malformed_hello_is_refused(changes: dict):
    with pytest.raises(PacketError) as refused:
        decode(bad_hello(changes))
    assert refused.value.kind == "malformed"


ITEM = st.sampled_from([None, True, 1, -2.5, math.nan, -math.inf, 10**300, 10**400, -(10**400), "a", []])
ANYTHING = st.one_of(ITEM, st.lists(ITEM, min_size=3, max_size=5))


@given(changes=st.dictionaries(st.sampled_from(sorted(ROBOT)), ANYTHING))
def test_whatever_a_hello_says_its_numbers_are_floats_or_it_is_refused(changes: dict):
    inbox = Inbox(4)
    if (packet := inbox.take(bad_hello(changes))) is None:
        assert dict(inbox.refused) == {"malformed": 1}
        return
    told = packet.content
    assert math.isfinite(float(told["control_rate_hz"]))
    for key in ("joint_lower", "joint_upper", "effort"):
        assert not np.isnan(np.array(told[key], np.float64)).any()
        assert len(told[key]) == len(told["joint_names"]) == 4


@pytest.mark.parametrize("kind", [HELLO, STATE, COMMAND, 9])
def test_a_body_too_short_for_its_kind_is_malformed(kind: int):
    data = struct.pack("<4sHHHxxxxxxQQd", b"MIMC", 1, kind, 0, SESSION, 1, 0.0) + b"abc"
    with pytest.raises(PacketError, match="malformed"):
        decode(data + struct.pack("<I", zlib.crc32(data)))


def bad_hello(changes: dict) -> bytes:
    """A hello for four joints whatever it names."""
    table = json.dumps(ROBOT | changes).encode()
    data = struct.pack("<4sHHHxxxxxxQQd", b"MIMC", 1, HELLO, 4, SESSION, 1, 0.0) + table
    return data + struct.pack("<I", zlib.crc32(data))


def test_an_inbox_takes_one_session_in_order():
    inbox = Inbox(4)
    assert inbox.take(state()) is None  # nobody has said hello
    assert inbox.take(hello(5)).kind == HELLO
    assert inbox.session == SESSION
    assert inbox.take(state(6)).sequence == 6
    assert inbox.take(state(6)) is None
    assert inbox.take(state(3)) is None
    assert "number 3 after 6: late, doubled or replayed" in inbox.last_refusal
    assert inbox.take(state(10)).sequence == 10
    assert inbox.take(hello(11, session=4)) is None
    assert inbox.take(state(12)[:-1] + b"x") is None
    assert dict(inbox.refused) == {"session": 2, "replayed": 2, "damaged": 1}
    assert (inbox.taken, inbox.lost) == (3, 3)


def test_packets_for_others_are_refused():
    inbox = Inbox(5, SESSION)
    assert inbox.take(state()) is None
    assert "4 joints, expected 5" in inbox.last_refusal
    newer = bytearray(state()[:-4])
    newer[4:6] = struct.pack("<H", 2)
    assert inbox.take(bytes(newer) + struct.pack("<I", zlib.crc32(newer))) is None
    assert "protocol version 2, this is 1" in inbox.last_refusal
    assert inbox.take(b"GET / HTTP/1.1\r\n" * 4) is None
    assert dict(inbox.refused) == {"joints": 1, "version": 1, "foreign": 1}


@pytest.mark.parametrize("name", COMMAND_FIELDS)
def test_a_robot_takes_no_command_with_nan(name: str):
    with pytest.raises(PacketError, match="not finite"):
        decode(command(**{name: np.array([0, np.nan, 0, 0])}))
