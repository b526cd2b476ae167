"""The reader of pickles: what plain data needs is read as Python's own would, everything else is refused by name."""

import bz2
import collections
import datetime
import gzip
import io
import lzma
import os
import pickle
import struct
import sys
import tracemalloc
import types
import zlib
from pathlib import Path

import numpy as np
import pytest

from motions.errors import InputError
from motions.formats.pickles import read_object_npy, read_pickle

PLAIN = {
    "fps": 30,
    "rate": np.float64(29.97),
    "count": np.int32(7),
    "names": ["left_knee", "hüfte"],
    "pair": (1, (2.5, None), True, False, -3, 2**70),
    "nested": {"a": {"b": [{}, [], ()]}},
    "ordered": collections.OrderedDict(x=1, y=[2]),
    "raw": b"bytes" * 100,
    "set": {1, 2, "three"},
    "complex": 1 + 2j,
    "f4": np.arange(12, dtype=np.float32).reshape(3, 4),
    "fortran": np.asfortranarray(np.arange(12.0).reshape(3, 4)),
    "big_endian": np.arange(5, dtype=">f8"),
    "words": np.array(["pelvis", "torso"]),
    "flags": np.array([True, False]),
    "empty": np.zeros((0, 3)),
    "objects": np.array([{"a": 1}, None, "x"], dtype=object),
    "scalar": np.array(4.0),
}


def same(a, b) -> bool:
    if isinstance(b, np.ndarray):
        # NumPy turns the other byte order into the machine's own where it can.
        if not isinstance(a, np.ndarray) or a.dtype.newbyteorder("=") != b.dtype.newbyteorder("=") or a.shape != b.shape:
            return False
        return bool(np.array_equal(a, b)) if b.dtype != object else same(a.tolist(), b.tolist())
    if isinstance(b, dict):
        return list(a) == list(b) and all(same(a[k], b[k]) for k in b)
    if isinstance(b, list | tuple):
        return type(a) is type(b) and len(a) == len(b) and all(map(same, a, b))
    return type(a) is type(b) and a == b


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_plain_data_is_read_as_pickle_reads_it(tmp_path, protocol):
    raw = pickle.dumps(PLAIN, protocol)
    assert same(read_pickle(write(tmp_path / "a.pkl", raw)), pickle.loads(raw))


def test_what_is_shared_stays_shared(tmp_path):
    array = np.arange(3.0)
    result = read_pickle(write(tmp_path / "a.pkl", pickle.dumps([array, array, [array]])))
    assert result[0] is result[1] is result[2][0]
    np.testing.assert_array_equal(result[0], array)


@pytest.mark.parametrize("pack", [zlib.compress, gzip.compress, bz2.compress, lzma.compress])
def test_compressed(tmp_path, pack):
    assert same(read_pickle(write(tmp_path / "a.pkl", pack(pickle.dumps(PLAIN)))), PLAIN)


def joblib_stream(array: np.ndarray, padding: int | None = None, promised: tuple[int, ...] | None = None) -> bytes:
    """The bytes joblib writes for one array: a wrapper's pickle with the array's bytes before its last step."""
    modules = {name: types.ModuleType(name) for name in ("joblib", "joblib.numpy_pickle")}
    wrapper_class = type("NumpyArrayWrapper", (), {"__module__": "joblib.numpy_pickle"})
    modules["joblib.numpy_pickle"].NumpyArrayWrapper = wrapper_class
    wrapper = wrapper_class()
    order = "F" if array.flags.f_contiguous and not array.flags.c_contiguous else "C"
    shape = array.shape if promised is None else promised
    wrapper.__dict__.update(subclass=np.ndarray, shape=shape, order=order, dtype=array.dtype, allow_mmap=padding is not None)
    wrapper.numpy_array_alignment_bytes = None if padding is None else 16
    before = {name: sys.modules.get(name) for name in modules}
    sys.modules.update(modules)
    try:
        head = pickle.dumps(wrapper, 2)[:-1]
    finally:
        for name, module in before.items():
            sys.modules.pop(name) if module is None else sys.modules.update({name: module})
    body = pickle.dumps(array, 2) if array.dtype == object else array.tobytes(order)
    return head + (b"" if padding is None else bytes([padding]) + b"\xff" * padding) + body + b"."


@pytest.mark.parametrize("padding", [None, 0, 11])
@pytest.mark.parametrize("key", ["f4", "fortran", "words", "empty", "objects", "big_endian"])
def test_joblibs_own_arrays(tmp_path, key, padding):
    path = write(tmp_path / "a.pkl", joblib_stream(PLAIN[key], None if key == "objects" else padding))
    assert same(read_pickle(path), PLAIN[key])


@pytest.mark.parametrize("compress", [0, 3, ("gzip", 3), ("bz2", 3), ("xz", 3), ("lzma", 3)])
def test_files_written_by_joblib_itself(tmp_path, compress):
    joblib = pytest.importorskip("joblib")
    joblib.dump({"clip": PLAIN, "again": [PLAIN["f4"]]}, tmp_path / "a.pkl", compress=compress)
    assert same(read_pickle(tmp_path / "a.pkl"), {"clip": PLAIN, "again": [PLAIN["f4"]]})


def test_all_asap_clips(shared_data):
    paths = sorted((shared_data / "motions/asap_g1/g1_pkl").glob("*.pkl"))
    assert len(paths) == 6
    for path in paths:
        (clip,) = read_pickle(path).values()
        frames = len(clip["dof"])
        assert clip["dof"].shape == (frames, 23)
        assert clip["fps"] == 30
        np.testing.assert_allclose(np.linalg.norm(clip["root_rot"], axis=1), 1.0, atol=1e-6)
        # The same capture as SMPL parameters: both files number the same frames.
        with np.load(shared_data / f"motions/asap_g1/smpl_npz/{path.stem}.npz") as smpl:
            assert len(smpl["trans"]) == frames


def test_all_poselib_files(shared_data):
    paths = sorted((shared_data / "motions/isaacgym_amp").glob("*.npy"))
    assert len(paths) == 6
    for path in paths:
        content = read_object_npy(path)
        assert content["__name__"] == "SkeletonMotion"
        rotation = content["rotation"]["arr"]
        np.testing.assert_allclose(np.linalg.norm(rotation, axis=-1), 1.0, atol=1e-5)
        assert rotation.shape[1] == len(content["skeleton_tree"]["node_names"]) == 15
    # Independent: NumPy's own reading of these known files.
    mine, own = read_object_npy(paths[-1]), np.load(paths[-1], allow_pickle=True).item()
    np.testing.assert_array_equal(mine["root_translation"]["arr"], own["root_translation"]["arr"])


def test_an_object_npy(tmp_path):
    np.save(tmp_path / "a.npy", np.array([{"a": 1}, 2], dtype=object), allow_pickle=True)
    assert read_object_npy(tmp_path / "a.npy").tolist() == [{"a": 1}, 2]
    np.save(tmp_path / "b.npy", np.zeros(3))
    with pytest.raises(InputError, match=r"b\.npy: an npy of float64, expected one of objects"):
        read_object_npy(tmp_path / "b.npy")
    write(tmp_path / "c.npy", b"garbage")
    with pytest.raises(InputError, match=r"c\.npy: not a readable npy"):
        read_object_npy(tmp_path / "c.npy")


class Runs:
    """Asks for a call when it is unpickled."""

    def __init__(self, call, *arguments):
        self.how = call, arguments

    def __reduce__(self):
        return self.how


def short(text: str) -> bytes:
    return b"\x8c" + bytes([len(text)]) + text.encode()


# (bytes of the file, what the refusal says). Made with the steps themselves where pickle would not write them.
HOSTILE = {
    "reduce": (pickle.dumps(Runs(os.system, "touch MADE")), "asks for '(posix|nt).system': refused"),
    "nested": (pickle.dumps({"a": [np.zeros(3), {"b": (Runs(eval, "1"),)}]}), "asks for 'builtins.eval'"),
    "protocol 0": (pickle.dumps(Runs(os.system, "touch MADE"), 0), "asks for '(posix|nt).system'"),
    "GLOBAL": (b"cos\nsystem\n(S'touch MADE'\ntR.", "asks for 'os.system'"),
    "STACK_GLOBAL": (b"\x80\x04" + short("os") + short("system") + b"\x93" + short("touch MADE") + b"\x85R.", "'os.system'"),
    "a dotted name": (b"\x80\x04" + short("numpy") + short("ndarray.__class__") + b"\x93.", "'numpy.ndarray.__class__'"),
    "through numpy": (b"cnumpy\nload\n(S'x'\ntR.", "asks for 'numpy.load'"),
    "numpy's exec": (b"cnumpy.testing._private.utils\nrunstring\n(S'x'\n}tR.", "asks for 'numpy.testing"),
    "name from the memo": (b"\x80\x04" + short("os") + b"\x94" + short("system") + b"\x94h\x00h\x01\x93.", "'os.system'"),
    "module with a space": (b"cos system\nx\n.", "asks for 'os.system.x'"),
    "INST": (b"(S'touch MADE'\nios\nsystem\n.", "asks for an object os.system"),
    "OBJ": (b"(cbuiltins\nlist\no.", "asks for an object"),
    "NEWOBJ_EX": (b"\x80\x04cbuiltins\nlist\n)}\x92.", "asks for an object"),
    "EXT1": (b"\x80\x02\x82\x01.", "step EXT1.*refused"),
    "a persistent id": (b"Psomething\n.", "step PERSID"),
    "out-of-band buffer": (b"\x80\x05\x97.", "step NEXT_BUFFER"),
    "BUILD on a class": (b"cnumpy\nndarray\n}S'x'\nI1\nsb.", "sets the state of a _Name"),
    "BUILD on a list": (b"]}b.", "sets the state of a list"),
    "a call of data": (b"](tR.", "damaged"),
    "a class as data": (b"cnumpy\nndarray\n.", "holds numpy.ndarray itself"),
    "a class inside": (b"(lp0\ncnumpy\ndtype\na.", "holds numpy.dtype itself"),
    "codecs": (b"c_codecs\nencode\n(Vabc\nVrot13\ntR.", "makes _codecs.encode in a way"),
    "a subclass": (b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\ndtype\n(I0\ntS'b'\ntR.", "makes numpy.core.multiarray._rec"),
    "a record dtype": (b"cnumpy\ndtype\n(S'V8'\nI0\nI1\ntR.", "makes numpy.dtype in a way"),
    "a date": (pickle.dumps(datetime.timedelta(1)), "asks for 'datetime.timedelta'"),
    "a path": (pickle.dumps(Path("x")), "asks for 'pathlib"),
    "a tensor": (b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n.", "'torch._utils._rebuild_tensor_v2'.*tensor.numpy"),
    "torch's zip": (b"PK\x03\x04" + b"\0" * 50, "zip archive.*tensor.numpy"),
    "LZ4": (b"\x04\x22\x4d\x18" + b"\0" * 50, "LZ4"),
    "a list as a key": (b"}](ls.", "damaged.*a list as a key"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_whatever_asks_for_more_is_refused_by_name(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    content, message = HOSTILE[name]
    with pytest.raises(InputError, match=rf"a\.pkl: .*{message}"):
        read_pickle(write(tmp_path / "a.pkl", content))
    assert [p.name for p in tmp_path.iterdir()] == ["a.pkl"], "something was run"


def test_the_hostile_files_would_work_elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("reduce", "GLOBAL", "STACK_GLOBAL", "INST"):
        pickle.loads(HOSTILE[name][0])
        assert (tmp_path / "MADE").exists(), name
        (tmp_path / "MADE").unlink()


def _array_of(count: int, raw: bytes, code: str = "f8") -> bytes:
    """A pickle of an array that promises `count` elements over `raw`."""
    state = f"(I1\n(I{count}\ntcnumpy\ndtype\n(S'{code}'\nI0\nI1\ntRI00\nC".encode() + bytes([len(raw)]) + raw + b"tb."
    return b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntC\x01btR" + state


def _many_copies() -> bytes:
    """10 000 arrays over the same 20 kB of the memo: 200 MB."""
    made = b"cnumpy.core.numeric\n_frombuffer\n(h\x00cnumpy\ndtype\n(S'f8'\nI0\nI1\ntR(I2500\ntS'C'\ntR"
    return b"\x80\x05B" + struct.pack("<I", 20000) + b"\0" * 20000 + b"q\x000(" + made * 10_000 + b"l."


BOMBS = {
    "fewer bytes": (_array_of(20, b"12345678"), "damaged.*not there"),
    "far fewer bytes": (_array_of(2**31, b"12345678"), "many times the file's size"),
    "no bytes": (_array_of(2**39, b"", "S0"), "damaged"),
    "joblib's": (joblib_stream(np.zeros(3), promised=(2**33,)), "are left"),
    "bytes": (b"\x80\x05\x8e" + struct.pack("<Q", 2**40) + b"x.", "damaged"),
    "bytearray": (b"\x80\x05\x96" + struct.pack("<Q", 2**33) + b"x.", "damaged"),
    "text": (b"\x80\x04\x8d" + struct.pack("<Q", 2**33) + b"x.", "damaged"),
    "a frame": (b"\x80\x04\x95" + struct.pack("<Q", 2**62) + b"x.", "damaged"),
    "copies": (_many_copies(), "many times the file's size"),
    "zlib": (zlib.compress(b"\0" * (64 << 20), 9), "unpacks to more than"),
    "deep": (b"(" * 1000 + b"\x85" * 10_000 + b"." + b"x", "damaged"),
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_small_file_makes_no_large_arrays(tmp_path, name):
    content, message = BOMBS[name]
    path = write(tmp_path / "a.pkl", content)
    tracemalloc.start()
    try:
        with pytest.raises(InputError, match=rf"a\.pkl: .*{message}"):
            read_pickle(path)
        assert tracemalloc.get_traced_memory()[1] < 80 << 20
    finally:
        tracemalloc.stop()


def test_a_very_large_file_is_refused_unread(tmp_path):
    with (tmp_path / "a.pkl").open("wb") as file:
        file.truncate(2 << 30)  # sparse: takes no room
    with pytest.raises(InputError, match=r"a\.pkl: 2\.0 GiB, pickles are read up to 1 GiB"):
        read_pickle(tmp_path / "a.pkl")


@pytest.mark.parametrize("kind", ["plain", "protocol 0", "joblib", "zlib"])
def test_truncated_and_damaged(tmp_path, kind):
    whole = {
        "plain": pickle.dumps(PLAIN),
        "protocol 0": pickle.dumps(PLAIN, 0),
        "joblib": joblib_stream(PLAIN["f4"], 5),
        "zlib": zlib.compress(pickle.dumps(PLAIN)),
    }[kind]
    rng = np.random.default_rng(0)
    for length in {1, 2, len(whole) - 1, *rng.integers(1, len(whole), 60).tolist()}:
        with pytest.raises(InputError, match=r"a\.pkl"):
            read_pickle(write(tmp_path / "a.pkl", whole[:length]))
    for place, bit in zip(rng.integers(0, len(whole), 300), rng.integers(0, 8, 300)):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << bit
        try:
            read_pickle(write(tmp_path / "a.pkl", bytes(damaged)))
        except InputError:
            continue


@pytest.mark.filterwarnings("ignore:.*escape sequence:DeprecationWarning")
def test_random_bytes_and_text(tmp_path):
    rng = np.random.default_rng(1)
    contents = [rng.bytes(200) for _ in range(300)] + [b"1 2 3\n4 5 6\n", b"HIERARCHY\nROOT x\n", b"{}", b"x" * 100, b"\n\n"]
    for content in contents:
        with pytest.raises(InputError, match=r"a\.pkl"):
            read_pickle(write(tmp_path / "a.pkl", content))
    buffer = io.BytesIO()
    np.savez(buffer, a=np.zeros(3))
    with pytest.raises(InputError, match="zip archive"):
        read_pickle(write(tmp_path / "a.pkl", buffer.getvalue()))
