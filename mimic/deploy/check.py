"""What `mimic check-bundle` finds out: is the bundle whole, unchanged, and does every graph in it give what was recorded?"""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import mujoco
import numpy as np

from mimic.deploy import policy as runtime
from mimic.deploy.bundle import FILES, SPEC, optional
from mimic.deploy.export import AGREEMENT
from mimic.deploy.schema import faults, policy_schema
from mimic.deploy.sim2sim import open_session
from mimic.deploy.spec import PolicySpec, read_spec, side_file
from motions.errors import InputError
from motions.kinematics import Body
from motions.motion import load_motion

Arrays = dict[str, np.ndarray]
# Where the observation is computed in the graph, in float32 and another order than numpy's: its rounding passes the normalizer,
# which enlarges what hardly varied in a short training.
OBSERVED_AGREEMENT = 1e-4


class Check(NamedTuple):
    """One line of the verdict. `difference`: the largest one found to what was recorded; None where nothing was replayed."""

    what: str
    passed: bool
    says: str
    difference: float | None = None


def check_bundle(folder: Path) -> list[Check]:
    """Every check that can be made; a file that cannot be read fails one and is not replayed.

    Raises `InputError` where there is no such folder.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; expected one written by `mimic export RUN_DIR --bundle --out {folder}`")
    try:
        table, spec = _read_table(folder / SPEC), read_spec(folder / SPEC)
    except InputError as error:
        return [Check(SPEC, False, str(error).removeprefix(f"{folder / SPEC}: "))]
    checks = [_spec_check(folder, table, spec), *(_file_check(folder, key, spec) for key in FILES if key in spec.files)]
    absent = [name for key, name in FILES.items() if key not in spec.files and key not in optional(spec)]
    checks += [Check(name, False, f"{SPEC} does not list it: this is not a bundle, or not a whole one") for name in absent]
    broken = {check.what for check in checks if not check.passed and check.says.startswith(("missing", "damaged"))}
    whole = all(check.passed for check in checks)
    for key, replay in _REPLAYS.items():
        if key == "runtime" and not whole:  # it would refuse the bundle, as it should
            continue
        if key in spec.files and not broken & {FILES[key], FILES["test_vectors"]}:
            checks.append(_guarded(replay, folder, spec, FILES[key]))
    return checks


def print_checks(folder: Path, checks: list[Check], refusal: str = "do not deploy this") -> bool:
    """One line per check and the verdict, on stdout. Returns whether all passed."""
    width, replayed = max(len(check.what) for check in checks), any(check.difference is not None for check in checks)
    for check in checks:
        difference = "" if check.difference is None else f"{check.difference:.1e}"
        column = f"{difference:>8}  " if replayed else ""
        print(f"{'ok' if check.passed else 'FAILED':6}  {check.what:{width}}  {column}{check.says}")
    failed = sum(not check.passed for check in checks)
    print(f"{folder}: {f'{failed} of {len(checks)} checks FAILED: {refusal}' if failed else 'every check passed'}")
    return failed == 0


def checks_to_json(checks: list[Check]) -> dict[str, Any]:
    """The verdict, for machines."""
    return {"passed": all(check.passed for check in checks), "checks": [check._asdict() for check in checks]}


def _guarded(replay: Callable[[Path, PolicySpec], Check], folder: Path, spec: PolicySpec, name: str) -> Check:
    """What is replayed was written by others: whatever it breaks becomes a failed check."""
    try:
        return replay(folder, spec)
    except Exception as error:  # onnxruntime's exceptions share no base but this
        return Check(name, False, f"cannot be replayed: {type(error).__name__}: {' '.join(str(error).split())[:200]}")


def _read_table(path: Path) -> dict[str, Any]:
    try:
        table = json.loads(path.read_text())
    except (OSError, ValueError):
        table = None  # `read_spec` says what is wrong with it
    return table if isinstance(table, dict) else {}


def _spec_check(folder: Path, table: dict[str, Any], spec: PolicySpec) -> Check:
    """Against its schema, and against what raw.onnx remembers of it."""
    schema, path = policy_schema(), folder / FILES["schema"]
    if "schema" in spec.files and path.is_file() and side_file(path) == spec.files["schema"]:
        schema = json.loads(path.read_text())  # an older bundle has the schema of its time
    wrong = list(faults(table, schema))
    if wrong:
        return Check(SPEC, False, f"not by its schema: {wrong[0]}" + (f" and {len(wrong) - 1} more" if wrong[1:] else ""))
    try:
        exported = json.loads(open_session(folder / FILES["raw"]).get_modelmeta().custom_metadata_map["mimic"])
    except Exception as error:  # onnxruntime's exceptions share no base but this
        return Check(SPEC, True, f"by its schema; {FILES['raw']} cannot say what was exported ({type(error).__name__})")
    changed = list(_differences({key: value for key, value in table.items() if key != "files"}, exported))
    if changed:
        return Check(SPEC, False, f"changed since the export: {'; '.join(changed[:3])}{' ...' if changed[3:] else ''}")
    return Check(SPEC, True, "by its schema, and as exported")


def _differences(found: Any, exported: Any, where: str = "") -> Iterator[str]:
    if isinstance(found, dict) and isinstance(exported, dict):
        for key in [*exported, *(key for key in found if key not in exported)]:
            yield from _differences(found.get(key), exported.get(key), f"{where}.{key}".lstrip("."))
    elif isinstance(found, list) and isinstance(exported, list) and len(found) == len(exported):
        for i, (a, b) in enumerate(zip(found, exported)):
            yield from _differences(a, b, f"{where}[{i}]")
    elif found != exported:
        yield f"{where} is {str(found)[:60]}, was {str(exported)[:60]}"


def _file_check(folder: Path, key: str, spec: PolicySpec) -> Check:
    name, expected = FILES[key], spec.files[key]
    path = folder / name
    if expected.name != name:
        return Check(name, False, f"{SPEC} calls it {expected.name!r}")
    if not path.is_file():
        return Check(name, False, "missing: copy all files of the bundle")
    try:
        same = side_file(path) == expected
    except OSError as error:
        return Check(name, False, f"damaged: cannot be read ({error.strerror})")
    return Check(name, same, "the file that was exported" if same else _what_happened(path, key, spec))


def _what_happened(path: Path, key: str, spec: PolicySpec) -> str:
    """In words, of a file whose checksum differs."""
    try:
        if path.suffix == ".onnx":
            open_session(path)
        elif path.suffix == ".xml":
            mujoco.MjModel.from_xml_path(str(path))
        elif key == "motion":
            name = load_motion(path).name
            if name != spec.motion.name:
                return f"another clip: {name!r}, expected {spec.motion.name!r}"
        elif path.suffix == ".npz":
            _arrays(path)
    except Exception as error:  # each library has exceptions of its own
        return f"damaged or truncated: {' '.join(str(error).removeprefix(f'{path}: ').split())[:120]}"
    return "not the file that was exported: changed, or of another policy (checksum differs)"


def _robot_check(folder: Path, spec: PolicySpec) -> Check:
    """The spec's joints, gains, torque limits and joint limits are those of the MJCF."""
    model = mujoco.MjModel.from_xml_path(str(folder / FILES["model"]))
    body = Body(spec.robot, model)
    if body.joint_names != spec.joint_names:
        return Check(
            FILES["model"], False, f"its joints are {', '.join(body.joint_names)}; {SPEC}'s {', '.join(spec.joint_names)}"
        )
    limits = np.array([spec.joint_lower, spec.joint_upper], float).T  # null becomes nan
    limits = np.where(np.isnan(limits), [-np.inf, np.inf], limits)
    for name, ours, theirs in (
        ("kp", spec.kp, model.actuator_gainprm[:, 0]),
        ("kd", spec.kd, -model.actuator_biasprm[:, 2]),
        ("effort", spec.effort, model.actuator_forcerange[:, 1]),
        ("joint_lower", limits[:, 0], body.joint_range[:, 0]),
        ("joint_upper", limits[:, 1], body.joint_range[:, 1]),
    ):
        wrong = np.flatnonzero(~np.isclose(ours, theirs, rtol=1e-5, atol=1e-9))
        if len(wrong):
            joint = spec.joint_names[wrong[0]]
            says = f"{name} of {joint} is {theirs[wrong[0]]:g}, in {SPEC} {ours[wrong[0]]:g}"
            return Check(FILES["model"], False, says)
    return Check(FILES["model"], True, f"joints, gains and limits are those of {SPEC}")


def _limits_check(folder: Path, spec: PolicySpec) -> Check:
    """Targets are numbers; how often and how far they lie beyond the joint limits is said, not failed."""
    vectors = _arrays(folder / FILES["test_vectors"])
    low, high = (np.array(values, float) for values in (spec.joint_lower, spec.joint_upper))
    beyond = np.fmax(np.fmax(low - vectors["target"], vectors["target"] - high), 0.0)  # null is nan, which fmax passes over
    share, most = float((beyond > 0).mean()), float(beyond.max())
    says = f"{len(vectors['frame'])} steps; {100 * share:.1f} % of the targets lie beyond the joint limits"
    if share:
        says += (
            f", at most {most:.2f} rad ({spec.joint_names[int(beyond.max(axis=0).argmax())]}): the robot's side must bound them"
        )
    return Check(FILES["test_vectors"], bool(np.isfinite(vectors["target"]).all()), says)


def _clip_check(folder: Path, spec: PolicySpec) -> Check:
    """prior_targets and action_scale give the recorded targets."""
    vectors, priors = _arrays(folder / FILES["test_vectors"]), _arrays(folder / FILES["motion"])["prior_targets"]
    after = np.clip(vectors["frame"] + 1, 0, len(priors) - 1)
    targets = priors[after] + np.array(spec.action_scale) * vectors["action"]
    return _compared(FILES["motion"], {"target by prior_targets": (targets, vectors["target"])})


def _network_check(folder: Path, spec: PolicySpec) -> Check:
    vectors = _arrays(folder / FILES["test_vectors"])
    actions = open_session(folder / FILES["network"]).run(["actions"], {"obs": vectors["obs"]})[0]
    return _compared(FILES["network"], {"action": (actions, vectors["action"])})


def _raw_check(folder: Path, spec: PolicySpec) -> Check:
    vectors, session = _arrays(folder / FILES["test_vectors"]), open_session(folder / FILES["raw"])
    inputs, outputs = ([value.name for value in values] for values in (session.get_inputs(), session.get_outputs()))
    lacking = [name for name in inputs if name not in vectors]
    if lacking:
        return Check(FILES["raw"], False, f"{FILES['test_vectors']} has no {lacking[0]!r}, which it asks for")
    steps = [session.run(outputs, {name: np.asarray(vectors[name][i]) for name in inputs}) for i in range(len(vectors["frame"]))]
    found = dict(zip(outputs, (np.array(column) for column in zip(*steps, strict=True)), strict=True))
    pairs = {name: (found[name], vectors[name]) for name in ("target", "action")}
    if "next_history" in found:
        pairs["history"] = (found["next_history"][:-1], vectors["history"][1:])
    return _compared(FILES["raw"], pairs, OBSERVED_AGREEMENT)


def _ros_check(folder: Path, spec: PolicySpec) -> Check:
    """As its readers run it: their action, and so the last action in obs, is (target - default) / scale."""
    vectors, session = _arrays(folder / FILES["test_vectors"]), open_session(folder / FILES["ros"])
    default, scale = np.array(spec.default_joints), np.array(spec.action_scale)
    given = vectors["obs"].copy()
    before = np.concatenate([np.broadcast_to(default, (1, len(default))), vectors["target"][:-1]])
    for term in spec.observation:
        if term.name == "actions":
            given[:, term.start : term.start + term.size] = (before - default) / scale
    actions = [
        session.run(["actions"], {"obs": obs[None], "time_step": np.array([[frame]], np.float32)})[0][0]
        for obs, frame in zip(given, vectors["frame"])
    ]
    return _compared(FILES["ros"], {"target": (default + scale * np.array(actions), vectors["target"])})


def _runtime_check(folder: Path, spec: PolicySpec) -> Check:
    """Our own policy.py, which is the bundle's, from the safe start on; the bundle's copy is never executed."""
    if Path(runtime.__file__).read_bytes() != (folder / FILES["runtime"]).read_bytes():
        return Check(
            FILES["runtime"], True, "not replayed: it is not this version's, and what came with a bundle is not executed"
        )
    vectors = _arrays(folder / FILES["test_vectors"])
    controller = runtime.Controller(folder, runtime.Safety(blend_s=0.0))
    commands, now = [], 0.0
    for i in [0, *range(len(vectors["frame"]))]:  # the first state twice: the safe start ends on it
        now += spec.ctrl_dt
        sample = {name: vectors[name][i] for name in controller.needs} | {"time": now, "received": now}
        commands.append(controller.step(now, sample))
    commands = [command for command in commands if command.state is runtime.State.RUN]
    if not commands:
        return Check(FILES["runtime"], False, f"its controller does not run: {controller.reason}")
    expected = vectors["target"][: len(commands)]
    found = np.array([command.target + command.torque / command.kp for command in commands])
    bounded = np.abs(expected - [command.target for command in commands]) * spec.kp < spec.effort  # else the torque is cut
    check = _compared(FILES["runtime"], {"target": (found[bounded], expected[bounded])}, OBSERVED_AGREEMENT)
    if len(commands) == len(vectors["frame"]):
        return check
    return check._replace(says=f"{check.says}, until its controller stopped at step {len(commands)}: {controller.reason}")


_REPLAYS: dict[str, Callable[[Path, PolicySpec], Check]] = {
    "model": _robot_check, "test_vectors": _limits_check, "motion": _clip_check, "network": _network_check, "raw": _raw_check,
    "ros": _ros_check, "runtime": _runtime_check,
}  # fmt: skip


def _compared(what: str, pairs: dict[str, tuple[np.ndarray, np.ndarray]], agreement: float = AGREEMENT) -> Check:
    """Fails where the largest difference is above `agreement`, relative above 1."""
    worst, failed = 0.0, []
    for name, (found, expected) in pairs.items():
        if found.shape != expected.shape:
            return Check(what, False, f"{name} has shape {found.shape}, recorded {expected.shape}")
        difference = float(np.abs(found - expected).max(initial=0.0))
        worst = max(worst, difference)
        if not difference <= agreement * max(1.0, float(np.abs(expected).max(initial=0.0))):
            failed.append(name)
    says = f"replayed: {' and '.join(failed or pairs)} {'differ from' if failed else 'as'} what was recorded"
    return Check(what, not failed, says, worst)


def _arrays(path: Path) -> Arrays:
    with np.load(path, allow_pickle=False) as data:
        return dict(data)
