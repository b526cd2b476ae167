"""The deployment bundle and its check: whole on every kind of policy, and every kind of damage told apart."""

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from commands import refusal
from tiny import tiny_motion
from tiny_policy import CONFIG, MOTION, ROBOT, random_network

from mimic.config import ActionConfig, Config, GoalConfig, ObservationConfig, SimConfig, TerminationConfig
from mimic.deploy.bundle import FILES, write_bundle
from mimic.deploy.check import Check, check_bundle, print_checks
from mimic.deploy.schema import faults, policy_schema
from mimic.deploy.sim2sim import Policy, rollout
from mimic.deploy.spec import ChainLink, PolicySpec, read_spec, side_file
from motions.errors import InputError


def bundle_of(folder: Path, config: Config = CONFIG, seed: int = 0) -> Path:
    layers, mean, std = random_network(config)
    layers = [(kernel * (1 + seed), bias) for kernel, bias in layers]
    write_bundle(layers, mean, std, config, ROBOT, MOTION, folder)
    return folder


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bundle_of(tmp_path_factory.mktemp("bundle") / "whole")


@pytest.fixture
def folder(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "copy"))


def failed(folder: Path) -> dict[str, str]:
    return {check.what: check.says for check in check_bundle(folder) if not check.passed}


CONFIGS = {
    "default": Config(),
    "contract": CONFIG,
    "absolute": dataclasses.replace(CONFIG, action=ActionConfig(prior="default", scale=0.4), sim=SimConfig(n_substeps=2)),
    "future": Config(observation=ObservationConfig(actor=("future", "phase", "body_pos_b", "actions"), future_frames=(1, 5, 40))),
    "history": Config(
        observation=ObservationConfig(actor=("command", "joint_pos"), history=3, history_terms=("joint_vel", "actions"))
    ),
    "no estimate": Config(observation=ObservationConfig(actor=("command", "motion_anchor_ori_b", "base_ang_vel", "joint_pos"))),
}


TOLD = {
    "free": Config(
        follow=False, action=ActionConfig(prior="default", feed_forward="none"), goal=GoalConfig(kind="heading"),
        observation=ObservationConfig(actor=("projected_gravity", "base_ang_vel", "joint_pos", "actions", "heading")),
        termination=TerminationConfig(None, None, None, None, below_clips=0.1),
    ),
    "strike": Config(goal=GoalConfig(kind="strike"), observation=ObservationConfig(actor=("command", "joint_pos", "strike"))),
}  # fmt: skip


@pytest.mark.parametrize("name", TOLD)
def test_what_is_told_comes_with_graphs_that_take_it(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """But without a runtime, which follows clips: that is refused where it would be needed."""
    folder = bundle_of(tmp_path / "bundle", TOLD[name])
    assert failed(folder) == {}
    spec, kind = read_spec(folder / "policy.json"), TOLD[name].goal.kind
    assert spec.goal is not None
    inputs = {i.name: i.shape for i in onnxruntime.InferenceSession(folder / "raw.onnx").get_inputs()}
    assert inputs["goal"] == [len(spec.goal.numbers)]
    assert ("root_pos" in inputs) == (kind == "strike")
    with np.load(folder / "test_vectors.npz") as data:
        assert data["goal"].shape == (len(data["frame"]), len(spec.goal.numbers))
    text = (folder / "README.txt").read_text()
    assert f"goal, what it is told: {'; '.join(spec.goal.numbers)}." in text
    assert ("follows nothing" in text) == (name == "free")
    assert "policy.py" not in text
    assert not (folder / "policy.py").exists()
    for command in ("serve", "rehearse"):
        assert "the runtime knows neither" in refusal(capsys, command, folder)


@pytest.mark.parametrize("name", CONFIGS)
def test_every_graph_gives_what_was_recorded(name: str, tmp_path: Path):
    folder = bundle_of(tmp_path / "bundle", CONFIGS[name])
    checks = check_bundle(folder)
    assert [check for check in checks if not check.passed] == []
    replayed = {check.what: check.difference for check in checks if check.difference is not None}
    assert {"policy.onnx", "raw.onnx", "policy.npz", "policy.py"} <= replayed.keys()
    assert ("policy_ros.onnx" in replayed) == (name in ("contract", "absolute", "no estimate"))
    assert max(replayed.values()) < 1e-5
    assert Policy.load(folder / "policy.onnx").spec.files.keys() == {c for c in FILES if (folder / FILES[c]).exists()}


def test_vectors_are_a_simulated_run(whole: Path):
    """By another road: the run again, and its qpos and qvel taken apart by their documented order."""
    run = rollout(Policy.load(whole / "policy.onnx"), max_steps=200)
    with np.load(whole / "test_vectors.npz") as data:
        vectors = dict(data)
    qpos, qvel = run.states.qpos[:-1], run.states.qvel[:-1]
    assert vectors["frame"].tolist() == list(range(100))
    for name, expected in {
        "root_pos": qpos[:, :3], "root_quat": qpos[:, 3:7], "joint_pos": qpos[:, 7:],
        "root_linvel": qvel[:, :3], "root_angvel": qvel[:, 3:6], "joint_vel": qvel[:, 6:],
        "obs": run.observations, "action": run.actions, "target": run.targets,
    }.items():  # fmt: skip
        np.testing.assert_allclose(vectors[name], expected, atol=1e-6, err_msg=name)
        assert vectors[name].dtype == np.float32
    np.testing.assert_array_equal(vectors["last_action"][1:], vectors["action"][:-1])
    assert not vectors["last_action"][0].any()


def test_a_second_export_replaces_the_first(folder: Path):
    bundle_of(folder, Config())
    assert failed(folder) == {}
    assert not (folder / "policy_ros.onnx").exists()


def test_refuses_folders_that_are_not_bundles(tmp_path: Path):
    with pytest.raises(InputError, match="a bundle is a folder"):
        bundle_of(tmp_path / "policy.onnx")
    (tmp_path / "thesis.tex").write_text("")
    with pytest.raises(InputError, match=r"holds thesis\.tex"):
        bundle_of(tmp_path)
    with pytest.raises(InputError, match="cannot be made or written"):
        bundle_of(tmp_path / "thesis.tex" / "bundle")
    with pytest.raises(InputError, match="no such folder"):
        check_bundle(tmp_path / "nowhere")


# Damage


def edit(folder: Path, change) -> None:
    path = folder / "policy.json"
    table = json.loads(path.read_text())
    change(table)
    path.write_text(json.dumps(table))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda t: t["kp"].__setitem__(2, 61.0), r"changed since the export: kp\[2\] is 61\.0, was 60\.0"),
        (lambda t: t["sim"].update(n_substeps=5), r"sim\.n_substeps is 5, was 4"),
        (lambda t: t.update(control_rate_hz=100.0), r"control_rate_hz is 100\.0, was 50\.0"),
        (lambda t: t["joint_upper"].__setitem__(0, 3.0), r"joint_upper\[0\] is 3\.0, was 1\.0"),
        (lambda t: t["joint_names"].reverse(), r"joint_names\[0\] is hind_right_hip, was front_left_hip"),
        (lambda t: t["motion"].update(name="walk"), r"motion\.name is walk, was sway"),
        (lambda t: t["provenance"].update(run="other"), r"provenance\.run is other, was None"),
        (lambda t: t.update(torque=1), r"unknown key.*torque"),
        (lambda t: t.pop("conventions"), r"not by its schema: lacks conventions"),
        (lambda t: t["kp"].__setitem__(2, "60"), r"kp must hold 4 finite numbers"),
        (lambda t: t["sim"].update(sim_dt=True), r"not by its schema: sim\.sim_dt"),
        (lambda t: t["files"].pop("motion"), r"files lacks motion"),
    ],
)
def test_a_changed_spec(folder: Path, change, says: str):
    edit(folder, change)
    assert failed(folder).keys() >= {"policy.json"}
    with pytest.raises(AssertionError, match=says):
        assert failed(folder)["policy.json"] == ""


def test_a_changed_gain_is_not_the_robots_either(folder: Path):
    edit(folder, lambda t: t["kd"].__setitem__(1, 5.0))
    assert failed(folder)["policy.xml"] == "kd of front_right_hip is 2, in policy.json 5"


@pytest.mark.parametrize("name", ["policy.json", *FILES.values()])
@pytest.mark.parametrize("kind", ["missing", "truncated", "empty"])
def test_a_file_that_is_not_whole(folder: Path, name: str, kind: str):
    path = folder / name
    content = path.read_bytes()
    path.unlink()
    if kind != "missing":
        path.write_bytes(content[: len(content) // 2] if kind == "truncated" else b"")
    says = failed(folder)[name]
    if name == "policy.json":
        assert ("cannot be read" if kind == "missing" else "not valid JSON") in says
    elif kind == "missing":
        assert says.startswith("missing")
    elif not name.endswith((".json", ".txt", ".py")):
        assert says.startswith("damaged or truncated: ")
    assert "\n" not in says
    if name != "policy.json":
        assert failed(folder).keys() == {name}  # and nothing else is blamed


def test_a_bundle_without_its_runtime_is_not_whole(folder: Path):
    edit(folder, lambda t: t["files"].pop("runtime"))
    assert "not a whole one" in failed(folder)["policy.py"]


def test_the_readme_gives_the_torque_law_as_the_docs_do(whole: Path):
    """A reader who bounds the target and drops the rest takes torque away."""
    readme, docs = (path.read_text() for path in (whole / "README.txt", Path(__file__).parents[1] / "docs" / "bundle.md"))
    for law in ("kp (target - sent)", "clip(kp (sent - q) - kd qdot + extra, -effort, effort)"):
        assert law in readme
        assert law in docs


def test_another_policys_network(folder: Path, tmp_path: Path):
    other = bundle_of(tmp_path / "other", seed=1)
    for name in ("policy.onnx", "raw.onnx", "policy_ros.onnx"):
        shutil.copy(other / name, folder / name)
    checks = [check for check in check_bundle(folder) if not check.passed]
    assert {check.what for check in checks if "not the file that was exported" in check.says} == {
        "policy.onnx", "raw.onnx", "policy_ros.onnx",
    }  # fmt: skip
    replayed = [check for check in checks if check.difference is not None]
    assert {check.what for check in replayed} == {"policy.onnx", "raw.onnx", "policy_ros.onnx"}
    assert all(check.difference > 1e-3 and "differ from what was recorded" in check.says for check in replayed)


def test_another_size_of_network(folder: Path, tmp_path: Path):
    shutil.copy(bundle_of(tmp_path / "other", Config()) / "policy.onnx", folder)
    assert "cannot be replayed" in [c for c in check_bundle(folder) if c.what == "policy.onnx"][-1].says


def test_another_clip(folder: Path, tmp_path: Path):
    motion = dataclasses.replace(tiny_motion(), name="nod", qpos=tiny_motion().qpos[::-1].copy())
    write_bundle(*random_network(CONFIG), CONFIG, ROBOT, motion, tmp_path / "other")
    shutil.copy(tmp_path / "other" / "policy.npz", folder)
    says = [check.says for check in check_bundle(folder) if not check.passed]
    assert says == [
        "another clip: 'nod', expected 'sway'", "replayed: target by prior_targets differ from what was recorded",
    ]  # fmt: skip


def test_wrong_numbers_behind_right_checksums(folder: Path):
    """Whoever repairs the checksums does not repair the policy: vectors, clip and graphs contradict one another."""
    path = folder / "test_vectors.npz"
    with np.load(path) as data:
        vectors = dict(data)
    vectors["joint_pos"][50, 1] += 0.01
    vectors["action"][3, 0] = np.nan
    np.savez(path, **vectors)
    edit(folder, lambda t: t["files"]["test_vectors"].update(sha256=side_file(path).sha256))
    assert failed(folder).keys() >= {"policy.onnx", "raw.onnx", "policy.npz"}


def test_never_a_traceback_whatever_the_bytes(whole: Path, tmp_path: Path):
    """Two dozen random wounds to random files: always a failed check, in one line each."""
    rng = np.random.default_rng(0)
    names = sorted(path.name for path in whole.iterdir())
    for round_ in range(24):
        folder = Path(shutil.copytree(whole, tmp_path / str(round_)))
        path = folder / names[round_ % len(names)]
        content = bytearray(path.read_bytes())
        kind = rng.integers(3)
        for _ in range(5):
            at = int(rng.integers(len(content)))
            if kind == 0:
                content[at] ^= int(rng.integers(1, 256))
            elif kind == 1:
                del content[at : at + 9]
            else:
                content[at:at] = bytes(rng.integers(0, 256, 9, dtype=np.uint8))
        path.write_bytes(bytes(content))
        checks = check_bundle(folder)
        if json_unchanged(whole / path.name, path):
            continue
        assert any(not check.passed for check in checks), f"round {round_}: {path.name}"
        assert all(check.says and "\n" not in check.says for check in checks)
        shutil.rmtree(folder)


def test_never_a_traceback_whatever_the_spec_says(folder: Path):
    """Fifty times one value of policy.json, anywhere in its tree, becomes something else: always a failed check."""
    rng = np.random.default_rng(1)
    original = (folder / "policy.json").read_text()
    junk = [None, [], {}, "x", -1, 3, 0.5, True, [[1]], {"name": 3}, 1e308]
    for round_ in range(50):
        table = json.loads(original)
        places = list(places_in(table))
        parent, key = places[rng.integers(len(places))]
        before, parent[key] = parent[key], junk[rng.integers(len(junk))]
        if before == parent[key]:
            continue
        (folder / "policy.json").write_text(json.dumps(table))
        checks = check_bundle(folder)
        assert any(not check.passed for check in checks), f"round {round_}: {key}: {before!r} became {parent[key]!r}"
        assert all(check.says and "\n" not in check.says for check in checks)


def places_in(tree):
    """(container, key) of every value in a JSON tree."""
    for key, value in tree.items() if isinstance(tree, dict) else enumerate(tree):
        yield tree, key
        if isinstance(value, dict | list):
            yield from places_in(value)


def json_unchanged(before: Path, after: Path) -> bool:
    """A wound among the spaces of policy.json changes nothing."""
    if before.name != "policy.json":
        return False
    try:
        return json.loads(before.read_text()) == json.loads(after.read_text())
    except ValueError:
        return False


def test_verdict_is_printed(folder: Path, capsys: pytest.CaptureFixture[str]):
    print_checks(folder, check_bundle(folder))
    assert capsys.readouterr().out.splitlines()[-1].endswith("every check passed")
    print_checks(folder, [Check("raw.onnx", False, "differs", 0.5), Check("policy.onnx", True, "")])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["FAILED", "raw.onnx", "5.0e-01", "differs"]
    assert lines[-1].endswith("1 of 2 checks FAILED: do not deploy this")


def test_an_older_bundle_is_judged_by_its_own_schema(folder: Path):
    """Of a version that knew no physics_rate_hz: whole by its own schema, lacking something by ours."""
    path = folder / "schema.json"
    schema = json.loads(path.read_text())
    schema["properties"].pop("physics_rate_hz")
    schema["required"].remove("physics_rate_hz")
    path.write_text(json.dumps(schema))
    edit(folder, lambda t: t.pop("physics_rate_hz"))
    assert failed(folder)["policy.json"] == "not by its schema: lacks physics_rate_hz"
    edit(folder, lambda t: t["files"]["schema"].update(sha256=side_file(path).sha256))
    assert failed(folder) == {"policy.json": "changed since the export: physics_rate_hz is None, was 200.0"}


# Schema


def test_schema_is_the_dataclasses(whole: Path):
    schema, table = json.loads((whole / "schema.json").read_text()), json.loads((whole / "policy.json").read_text())
    assert schema == policy_schema()
    assert set(schema["properties"]) == set(table) == set(schema["required"])
    assert {f.name for f in dataclasses.fields(PolicySpec)} <= set(schema["properties"])
    assert schema["properties"]["kp"] == {"type": "array", "items": {"type": "number"}, "description": "[N m/rad]"}
    assert schema["properties"]["action"]["properties"]["prior"]["enum"] == ["reference", "default"]
    assert list(faults(table, schema)) == []


def test_schema_by_the_reference_validator(whole: Path):
    jsonschema = pytest.importorskip("jsonschema")
    schema, table = json.loads((whole / "schema.json").read_text()), json.loads((whole / "policy.json").read_text())
    validator = jsonschema.Draft202012Validator
    validator.check_schema(schema)
    assert validator(schema).is_valid(table)
    for change in WRONG:
        wrong = json.loads(json.dumps(table))
        change(wrong)
        assert not validator(schema).is_valid(wrong)


WRONG = [
    lambda t: t.update(kind="mimic"), lambda t: t.pop("kd"), lambda t: t.update(extra=1), lambda t: t["sim"].pop("friction"),
    lambda t: t.update(kp="60"), lambda t: t["joint_upper"].append("far"), lambda t: t["observation"][0].update(start=1.5),
    lambda t: t["motion"].update(loop=1), lambda t: t["files"].update(raw="raw.onnx"), lambda t: t["action"].update(prior="none"),
    lambda t: t["anchor_chain"].append({"pos": [0, 0, 0]}), lambda t: t["provenance"].update(run=None),
]  # fmt: skip


@pytest.mark.parametrize("change", WRONG)
def test_schema_refuses(whole: Path, change):
    table = json.loads((whole / "policy.json").read_text())
    change(table)
    assert len(list(faults(table, policy_schema()))) >= 1


def test_files_of_before_the_limits_are_still_read(whole: Path, folder: Path):
    edit(folder, lambda t: [t.pop(key) for key in ("joint_lower", "joint_upper", "anchor_chain", "physics_rate_hz")])
    edit(folder, lambda t: [term.pop("steps_ago") for term in t["observation"]])
    old, new = (read_spec(path / "policy.json") for path in (folder, whole))
    assert old == dataclasses.replace(new, joint_lower=(), joint_upper=(), anchor_chain=())


def test_limits_are_checked(folder: Path):
    for change, says in (
        (lambda t: t["joint_upper"].__setitem__(0, -2.0), "joint_lower -1.0 is not below joint_upper -2.0"),
        (lambda t: t.update(joint_lower=[0.0]), "joint_lower must hold 4"),
        (lambda t: t.update(anchor_chain=[dataclasses.asdict(ChainLink((0,) * 3, (1, 0, 0, 0), 9, (0, 0, 1)))]), "names joint 9"),
    ):
        original = (folder / "policy.json").read_text()
        edit(folder, change)
        with pytest.raises(InputError, match=says):
            read_spec(folder / "policy.json")
        (folder / "policy.json").write_text(original)


def test_raw_graph_suits_old_runtimes(whole: Path):
    model = onnx.load(whole / "raw.onnx")
    assert model.ir_version <= 8
    assert [opset.version for opset in model.opset_import] == [15]
    assert onnxruntime.InferenceSession(str(whole / "raw.onnx")).get_modelmeta().producer_name == "mimic"


def test_documentation_names_every_file_and_input(whole: Path):
    text = (Path(__file__).resolve().parents[1] / "docs" / "bundle.md").read_text()
    vectors = np.load(whole / "test_vectors.npz")
    graph = onnx.load(whole / "raw.onnx").graph
    names = [value.name for value in (*graph.input, *graph.output)]
    for name in ("policy.json", *FILES.values(), *names, "history", "first", "next_history"):
        assert f"`{name}`" in text, name
    readme = (whole / "README.txt").read_text()
    for name in ("policy.json", *FILES.values()):
        assert name in readme or name == "README.txt"
    assert set(names) - {"frame"} <= set(vectors)
