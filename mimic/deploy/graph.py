"""The ONNX graphs, in ONNX's own text form: the network with its normalizer inside, and the ROS-side contract around it."""

from collections.abc import Mapping, Sequence

import numpy as np
import onnx
from onnx import helper, numpy_helper, parser

from mimic.deploy.recorded import Recorded

OPSET, IR_VERSION = 15, 8  # read by onnxruntime since 1.10 (2021)
Layers = Sequence[tuple[np.ndarray, np.ndarray]]


def policy_model(layers: Layers, mean: np.ndarray, std: np.ndarray, clip: float, metadata: dict[str, str]) -> onnx.ModelProto:
    """Input `obs` (B, N), output `actions` (B, J), float32."""
    body, constants = _network(layers, mean, std, clip, obs="obs", actions="actions")
    signature = f"(float[batch, {len(mean)}] obs) => (float[batch, {len(layers[-1][1])}] actions)"
    return _model(signature, body, constants, metadata)


def ros_model(
    layers: Layers,
    mean: np.ndarray,
    std: np.ndarray,
    clip: float,
    *,
    command: slice,
    last_action: slice | None,
    priors: np.ndarray,
    default_joints: np.ndarray,
    action_scale: np.ndarray,
    reference: dict[str, np.ndarray],
    metadata: dict[str, str],
) -> onnx.ModelProto:
    """Inputs `obs` (1, N), `time_step` (1, 1); outputs `actions` (1, J) and the `reference` arrays at the frame time_step.

    `command`, `last_action`: where obs holds these terms. priors (F, J) [rad]: what an action of zero that aims at frame
    f asks for. The reader's action A means target = default_joints + action_scale A, ours means prior(f + 1) +
    action_scale a: converted here, both on the way in (the last action) and on the way out.

    Readers differ in the frame of obs: `time_step` itself, or the one before (the ROS controller runs the graph once at
    reset and observes what that run gave out). The one whose reference equals the command in obs is taken.
    """
    end = len(mean)
    body = """
        step_any_shape = Cast <to = 7> (time_step)
        step = Reshape (step_any_shape, one)
        step_before = Sub (step, one)
        now = Clip (step, first, last)
        before = Clip (step_before, first, last)
        command = Slice (obs, command_start, command_end, axis)
        command_now = Gather <axis = 0> (command_table, now)
        command_before = Gather <axis = 0> (command_table, before)
        miss_now = Sub (command, command_now)
        miss_before = Sub (command, command_before)
        distance_now = ReduceL1 <keepdims = 0> (miss_now)
        distance_before = ReduceL1 <keepdims = 0> (miss_before)
        is_before = Less (distance_before, distance_now)
        frame = Where (is_before, before, now)
        frame_after = Add (frame, one)
        next = Clip (frame_after, first, last)
        prior = Gather <axis = 0> (prior_table, next)
    """
    constants: dict[str, np.ndarray] = {
        "one": np.array([1]),
        "first": np.array(0),
        "last": np.array(len(priors) - 1),
        "axis": np.array([1]),
        "command_start": np.array([command.start]),
        "command_end": np.array([command.stop]),
        "command_table": np.concatenate([reference["joint_pos"], reference["joint_vel"]], axis=1),
        "prior_table": priors,
        "default_joints": default_joints,
        "action_scale": action_scale,
    }
    obs = "obs"
    if last_action is not None:
        obs = "own_obs"
        body += """
        given = Slice (obs, actions_start, actions_end, axis)
        given_offset = Mul (given, action_scale)
        given_target = Add (given_offset, default_joints)
        last_prior = Gather <axis = 0> (prior_table, frame)
        last_offset = Sub (given_target, last_prior)
        converted = Div (last_offset, action_scale)
        is_start = Equal (frame, first)
        own_last_action = Where (is_start, zero, converted)
        """
        constants |= {
            "actions_start": np.array([last_action.start]),
            "actions_end": np.array([last_action.stop]),
            "zero": np.array(0.0),
        }
        parts = ["own_last_action"]
        if last_action.start > 0:
            body += "head = Slice (obs, obs_start, actions_start, axis)\n"
            parts.insert(0, "head")
            constants["obs_start"] = np.array([0])
        if last_action.stop < end:
            body += "tail = Slice (obs, actions_end, obs_end, axis)\n"
            parts.append("tail")
            constants["obs_end"] = np.array([end])
        body += f"own_obs = Concat <axis = 1> ({', '.join(parts)})\n"
    network, weights = _network(layers, mean, std, clip, obs=obs, actions="own_actions")
    body += (
        network
        + """
        offset = Mul (own_actions, action_scale)
        target = Add (prior, offset)
        target_offset = Sub (target, default_joints)
        actions = Div (target_offset, action_scale)
    """
    )
    for name, table in reference.items():
        body += f"{name} = Gather <axis = 0> ({name}_table, now)\n"
        constants[f"{name}_table"] = table
    shapes = {"actions": (1, len(default_joints))} | {name: (1, *table.shape[1:]) for name, table in reference.items()}
    outputs = ", ".join(f"float{list(shape)} {name}" for name, shape in shapes.items())
    signature = f"(float[1, {end}] obs, float[1, 1] time_step) => ({outputs})"
    return _model(signature, body, constants | weights, metadata)


def _network(
    layers: Layers, mean: np.ndarray, std: np.ndarray, clip: float, *, obs: str, actions: str
) -> tuple[str, dict[str, np.ndarray]]:
    """actions = MLP(clip((obs - mean) / std, -clip, clip)), with ELU between the layers: its text and its constants."""
    body = f"""
        centred = Sub ({obs}, obs_mean)
        scaled = Div (centred, obs_std)
        x0 = Clip (scaled, clip_low, clip_high)
    """
    constants = {"obs_mean": mean, "obs_std": std, "clip_low": np.array(-float(clip)), "clip_high": np.array(float(clip))}
    for i, (kernel, bias) in enumerate(layers):
        constants |= {f"kernel_{i}": kernel, f"bias_{i}": bias}
        if i < len(layers) - 1:
            body += f"y{i + 1} = Gemm (x{i}, kernel_{i}, bias_{i})\nx{i + 1} = Elu (y{i + 1})\n"
        else:
            body += f"{actions} = Gemm (x{i}, kernel_{i}, bias_{i})\n"
    return body, constants


def _model(signature: str, body: str, constants: dict[str, np.ndarray], metadata: dict[str, str]) -> onnx.ModelProto:
    """The checked model, constants inside: integers as int64, everything else as float32."""
    header = f'<ir_version: {IR_VERSION}, opset_import: ["" : {OPSET}], producer_name: "mimic">'
    model = parser.parse_model(f"{header} policy {signature} {{ {body} }}")
    for name, values in constants.items():
        kind = np.int64 if np.issubdtype(values.dtype, np.integer) else np.float32
        model.graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(values, kind), name))
    return _checked(model, metadata)


def assemble(
    graph: onnx.GraphProto, inputs: Mapping[str, Recorded], outputs: Mapping[str, Recorded], metadata: dict[str, str]
) -> onnx.ModelProto:
    """The checked model of a `graph` whose nodes and constants are written already."""
    graph.name = "policy"
    for field, values in ((graph.input, inputs), (graph.output, outputs)):
        for name, value in values.items():
            kind = helper.np_dtype_to_tensor_dtype(value.dtype)
            field.append(helper.make_tensor_value_info(name, kind, value.shape))
    opset = [helper.make_opsetid("", OPSET)]
    return _checked(helper.make_model(graph, producer_name="mimic", ir_version=IR_VERSION, opset_imports=opset), metadata)


def _checked(model: onnx.ModelProto, metadata: dict[str, str]) -> onnx.ModelProto:
    helper.set_model_props(model, metadata)
    onnx.checker.check_model(model, full_check=True)
    return model
