"""`Robot`: a simulated robot with everything a controller needs to know about it, and `load_robot`, which makes one."""

from dataclasses import dataclass, field, replace
from pathlib import Path

import mujoco
import numpy as np

from mimic.config import SimConfig
from mimic.robots.clean import clean, compile_spec, parse, to_xml
from mimic.robots.derive import derive_traits
from mimic.robots.edit import finish
from mimic.robots.find import Source, builtin_specs, find_robot, search_folders
from mimic.robots.stability import stability_warning
from mimic.robots.traits import Traits, fits, read_toml, traits_from_toml
from motions.kinematics import Body


@dataclass(frozen=True)
class Robot:
    """A robot ready to simulate. Per-joint arrays (J,) are in the order of qpos[7:], ctrl and `joint_names`.

    `model` has a floor named "floor" and one position actuator per joint: torque = clip(kp (ctrl - q) - kd qdot,
    +-effort). `mjcf` is its XML; loaded without visuals it needs no other file. kp [N m/rad], kd [N m s/rad],
    effort [N m], armature [kg m^2], velocity_limit [rad/s] (inf if unknown). That model is an ideal motor; what a real one
    adds is corner_velocity [rad/s] (`mimic.robots.actuators`), motor_friction [N m] and motor_damping [N m s/rad].
    """

    name: str
    body: Body
    model: mujoco.MjModel = field(repr=False)
    mjcf: str = field(repr=False)
    kp: np.ndarray = field(repr=False)
    kd: np.ndarray = field(repr=False)
    effort: np.ndarray = field(repr=False)
    armature: np.ndarray = field(repr=False)
    velocity_limit: np.ndarray = field(repr=False)
    corner_velocity: np.ndarray = field(repr=False)
    motor_friction: np.ndarray = field(repr=False)
    motor_damping: np.ndarray = field(repr=False)
    default_qpos: np.ndarray = field(repr=False)
    tracked_bodies: tuple[str, ...]
    anchor_body: str
    end_effectors: tuple[str, ...]
    foot_geoms: tuple[str, ...]
    source: Path
    assumptions: tuple[str, ...] = ()

    @property
    def joint_names(self) -> tuple[str, ...]:
        return self.body.joint_names

    @property
    def foot_bodies(self) -> tuple[str, ...]:
        return self.body.foot_bodies

    @property
    def action_scale_unit(self) -> np.ndarray:
        """effort/kp [rad]: the target offset at which a resting joint gives its whole torque; (J,)."""
        return self.effort / self.kp


def load_robot(
    name_or_path: str,
    *,
    sim: SimConfig | None = None,
    visuals: bool = False,
    search: tuple[Path, ...] | None = None,
) -> Robot:
    """Find, edit and compile a robot.

    `name_or_path`: a known name (g1, h1, t1, go2, humanoid), an .xml, or a .toml spec. `visuals` keeps meshes and materials, for
    rendering. `search`: folders instead of those of MIMIC_ROBOTS. Raises `InputError` with what was tried or is wrong.
    """
    sim = sim or SimConfig()
    source = find_robot(name_or_path, search_folders() if search is None else search)
    spec = parse(source.mjcf)
    said = clean(spec, source.mjcf, visuals=False)
    plain = compile_spec(spec, source.mjcf)
    Body(source.mjcf.stem, plain)  # refuses what has no free root, or joints other than hinges
    name, traits = _traits(source, plain)
    if visuals:  # traits never depend on the looks, so they come from the plain model first
        spec = parse(source.mjcf)
        said = clean(spec, source.mjcf, visuals=True)
    finish(spec, traits, sim)
    model = compile_spec(spec, source.mjcf)
    mjcf = to_xml(spec)
    if not visuals:
        model = mujoco.MjModel.from_xml_string(mjcf)  # to the last bit what whoever gets the XML will simulate
    return Robot(
        name=name,
        body=Body(name, model, traits.foot_bodies),
        model=model,
        mjcf=mjcf,
        kp=traits.kp,
        kd=traits.kd,
        effort=traits.effort,
        armature=traits.armature,
        velocity_limit=traits.velocity_limit,
        corner_velocity=traits.corner_velocity,
        motor_friction=traits.motor_friction,
        motor_damping=traits.motor_damping,
        default_qpos=traits.default_qpos,
        tracked_bodies=traits.tracked_bodies,
        anchor_body=traits.anchor_body,
        end_effectors=traits.end_effectors,
        foot_geoms=traits.foot_geoms,
        source=source.mjcf,
        assumptions=said + traits.assumptions + stability_warning(model, traits.default_qpos),
    )


def _traits(source: Source, model: mujoco.MjModel) -> tuple[str, Traits]:
    """From the spec that came with the MJCF, else from a known spec that fits it, else derived from the MJCF alone."""
    if source.table is not None:
        return source.table["name"], traits_from_toml(source.table, model, str(source.spec_path))
    for path in builtin_specs().values():
        table = read_toml(path)
        if fits(table, model):
            traits = traits_from_toml(table, model, path.name)
            said = f"{source.mjcf.name} has the joints of the known robot {table['name']!r}, so {path.name} describes it"
            return table["name"], replace(traits, assumptions=(said, *traits.assumptions))
    name, after = source.mjcf.stem, "file"
    if name in builtin_specs() or name.startswith("scene"):  # another robot's name, or a name that says nothing
        name, after = f"{source.mjcf.resolve().parent.name}_{name}", "folder and file"
    traits = derive_traits(model, source.mjcf)
    said = f"named {name!r} after its {after}; in a spec it has a name of yours"
    return name, replace(traits, assumptions=(said, *traits.assumptions))
