"""The C++ example, compiled and run: it must give what Python recorded. Needs g++, cmake and ONNX Runtime's C++ headers.

ONNXRUNTIME_ROOT: where an unpacked release of ONNX Runtime lies, if its headers are not where compilers look.
"""

import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from test_bundle import bundle_of
from test_raw import BODY, CLIP, JOINTS, mirror_network, random_raw, spec_of

from mimic.config import Config
from mimic.deploy.raw import raw_model

SOURCE = Path(__file__).resolve().parents[1] / "mimic" / "deploy" / "cpp"


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The compiled example. The Python package brings the library, but no headers."""
    if not (shutil.which("cmake") and (shutil.which("c++") or shutil.which("g++"))):
        pytest.skip("no cmake or no C++ compiler")
    folder = tmp_path_factory.mktemp("cpp")
    library = next((Path(onnxruntime.__file__).parent / "capi").glob("libonnxruntime.so.*"), None)
    if library is not None:
        for name in ("libonnxruntime.so", "libonnxruntime.so.1"):
            (folder / name).symlink_to(library)
    options = [f"-DONNXRUNTIME_ROOT={os.environ.get('ONNXRUNTIME_ROOT', '')}", f"-DCMAKE_LIBRARY_PATH={folder}"]
    configured = subprocess.run(["cmake", "-S", SOURCE, "-B", folder / "build", *options], capture_output=True, text=True)
    if configured.returncode and "ONNXRUNTIME_" in configured.stderr:
        pytest.skip("no C++ headers of ONNX Runtime; ONNXRUNTIME_ROOT may name where they lie")
    assert configured.returncode == 0, configured.stderr
    built = subprocess.run(["cmake", "--build", folder / "build"], capture_output=True, text=True)
    assert built.returncode == 0, built.stdout + built.stderr
    assert "warning" not in built.stdout + built.stderr
    return folder / "build" / "replay"


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return bundle_of(tmp_path / "bundle", Config())


def replay(program: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([program, folder], capture_output=True, text=True)


def test_gives_what_python_recorded(program: Path, bundle: Path):
    done = replay(program, bundle)
    assert done.returncode == 0, done.stdout + done.stderr
    action, target, verdict = done.stdout.splitlines()
    assert action.startswith("action   100 steps")
    assert target.startswith("target   100 steps")
    assert max(float(line.split()[-1]) for line in (action, target)) <= 1e-5
    assert verdict == "as recorded"


def test_sees_one_wrong_number(program: Path, bundle: Path):
    path = bundle / "test_vectors.npz"
    with np.load(path) as data:
        vectors = dict(data)
    vectors["action"][70, 2] += 1e-3
    np.savez(path, **vectors)
    done = replay(program, bundle)
    assert done.returncode == 1
    assert "FAILED" in done.stdout


def test_remembers_its_past(program: Path, tmp_path: Path):
    """A policy with an observation history: the program hands `next_history` on by itself."""
    spec = spec_of("actions", "joint_vel", history=2, history_terms=("actions", "joint_vel"))
    # actions of one step: a mix of what was seen one and two steps before
    model = raw_model(mirror_network(spec.observation_size), spec, BODY, CLIP, CLIP.qpos[:, 7:], {})
    kernel = np.zeros((spec.observation_size, JOINTS), np.float32)
    kernel[3 * JOINTS : 4 * JOINTS] = np.eye(JOINTS)  # joint_vel of one step before
    kernel[4 * JOINTS : 5 * JOINTS] = 0.5 * np.eye(JOINTS)  # actions of two steps before
    (weights,) = (tensor for tensor in model.graph.initializer if tensor.name == "kernel_0")
    weights.raw_data = kernel.tobytes()
    (tmp_path / "raw.onnx").write_bytes(model.SerializeToString())
    raws = [random_raw(step)[0] for step in range(6)]
    seen, actions = [], []
    for raw in raws:
        last_action = actions[-1] if actions else np.zeros(JOINTS, np.float32)
        seen.append((last_action, raw["joint_vel"]))
        actions.append(seen[max(len(seen) - 2, 0)][1] + 0.5 * seen[max(len(seen) - 3, 0)][0])
    frame = np.arange(len(raws))
    np.savez(
        tmp_path / "test_vectors.npz",
        **{name: np.stack([raw[name] for raw in raws]) for name in raws[0]},
        frame=frame, first=frame == 0, history=np.full((len(raws), 4 * JOINTS), np.nan, np.float32),
        action=np.array(actions), target=CLIP.qpos[1:7, 7:] + np.float32(spec.action_scale) * np.array(actions),
    )  # fmt: skip
    done = replay(program, tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda path: path.unlink(), "cannot be read"),
        (lambda path: path.write_bytes(path.read_bytes()[:5000]), "ends early"),
        (lambda path: np.savez_compressed(path, **dict(np.load(path))), "compressed"),
        (lambda path: np.savez(path, action=np.zeros((3, 4), np.float32)), "has no joint_pos"),
    ],
)
def test_bad_vectors(program: Path, bundle: Path, damage, says: str):
    damage(bundle / "test_vectors.npz")
    done = replay(program, bundle)
    assert done.returncode == 2
    assert says in done.stderr
