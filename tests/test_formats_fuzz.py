"""Damaged files: whatever bytes are lost, doubled or replaced, a reader gives a motion or an `InputError`, and soon.

Run for longer with `MIMIC_FUZZ_EXAMPLES=20000`.
"""

import io
import json
import os
import pickle
import warnings

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from stick import stick_body, stick_walk
from test_formats_amc import ASF, tiny

from motions.errors import InputError
from motions.formats import read_motion_file, write_motion_file

EXAMPLES = int(os.environ.get("MIMIC_FUZZ_EXAMPLES", "60"))
NASTY = [
    b"nan",
    b"inf",
    b"-1",
    b"0",
    b"1e400",
    b"999999999",
    b"-0",
    b"\x00",
    b"\xff\xff\xff\xff",
    b"{",
    b"}",
    b"\n",
    b" ",
    b"[[",
    b"'",
]


def pickled(motion) -> bytes:
    content = {
        "fps": 30.0,
        "root_pos": motion.qpos[:, :3],
        "root_rot": motion.qpos[:, [4, 5, 6, 3]],
        "dof_pos": motion.qpos[:, 7:],
    }
    return pickle.dumps(content)


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> dict[str, bytes]:
    """A small good file of every kind, by suffix."""
    folder, motion, body = tmp_path_factory.mktemp("whole"), stick_walk(frames=5), stick_body()
    for suffix in (".bvh", ".csv", ".npz", ".glb"):
        write_motion_file(folder / f"clip{suffix}", motion, body=body)
    files = {path.suffix: path.read_bytes() for path in folder.iterdir()}
    files[".amc"] = tiny(tmp_path_factory.mktemp("tiny")).read_bytes()
    files[".pkl"] = pickled(motion)
    frame = [0.03, 0.0, 0.9, 0.0, 1.0, 0.0, 0.0, 0.0, *([1.0, 0.0, 0.0, 0.0] * 9)]
    files[".txt"] = json.dumps({"Loop": "none", "Frames": [frame] * 4}).encode()
    with io.BytesIO() as out:
        np.save(out, np.zeros((5, 4, 3)))
        files[".npy"] = out.getvalue()
    return files


DAMAGE = st.lists(
    st.tuples(st.floats(0.0, 1.0), st.integers(0, 40), st.one_of(st.sampled_from(NASTY), st.binary(max_size=8))),
    min_size=1,
    max_size=6,
)


@pytest.mark.parametrize("suffix", [".bvh", ".amc", ".csv", ".npz", ".glb", ".pkl", ".txt", ".npy"])
def test_damaged_files_give_a_motion_or_an_input_error(whole, tmp_path, suffix):
    body = stick_body()

    @settings(max_examples=EXAMPLES, deadline=5000, derandomize=True, suppress_health_check=list(HealthCheck), database=None)
    @given(DAMAGE)
    def check(damage):
        content = whole[suffix]
        for place, lost, put in damage:
            at = int(place * len(content))
            content = content[:at] + put + content[at + lost :]
        path = tmp_path / f"clip{suffix}"
        path.write_bytes(content)
        (tmp_path / "clip.asf").write_text(ASF)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                found = read_motion_file(path, robot=body, quat_order="wxyz").motion
            except InputError:
                return
        values = getattr(found, "qpos", None)
        assert np.isfinite(found.local_quat if values is None else values).all()

    check()
