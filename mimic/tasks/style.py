"""What a task shows a discriminator: windows of features of the body, and such windows of the clips; or differences.

Clips hold no actions. Where the discriminator is to see them beside the states (GAIL, Ho and Ermon 2016), a demonstration's are
those that the tracker of the clips took in the simulator: the only ones known to lead from one of its states to the next.
Inverse dynamics would give some for any clip, but smoothed ones, with a guess of who bears the load: by that alone anybody could
be told from them.
"""

import jax
import jax.numpy as jnp
import numpy as np

from mimic.config import Config
from mimic.mdp.style import SETTLING_S, Clusters, StyleLayout, difference, make_clusters, shares_of, some_of, style_features
from mimic.mdp.styles import style_names, style_of
from mimic.robots import Robot
from mimic.tasks.aim import Aim
from motions.errors import InputError
from motions.kinematics import KinematicState
from motions.library import MotionLibrary
from motions.rotations import Array


class StyleView:
    """Of one robot and the clips of `library`, as `config.style` says: pure functions of one environment.

    style_size: W, of what is shown; clusters: of all the clips' frames, None for differences. styles: the names of those that a
    robot is told, if it is; what is shown then ends with which. shares (S, C): how much of each is in each cluster.
    targets (N, J) [rad]: joint targets that led to each of the library's frames, None: not known. Raises `InputError` where
    actions are to be shown without them.
    """

    def __init__(self, config: Config, robot: Robot, library: MotionLibrary, aim: Aim, targets: np.ndarray | None = None) -> None:
        effectors = tuple(robot.tracked_bodies.index(name) for name in robot.end_effectors)
        self.layout, self.library = StyleLayout(robot.body, effectors), library.moved(jnp.asarray)
        self.of_differences = config.style.judges == "difference"
        self.length = 1 if self.of_differences else config.style.window
        self.settling = round(SETTLING_S / config.sim.ctrl_dt)
        self.aim, self.targets = aim, None
        if config.style.actions:
            self.targets = jnp.asarray(_checked(targets, library))
        told = config.goal.kind == "style" and not self.of_differences
        self.styles = style_names(config.goal.styles) if told else ()
        numbers = style_of(config.goal.styles, library.names) if told else np.zeros(library.num_clips, np.int32)
        self.told = jnp.eye(len(self.styles))[numbers] if told else None  # (C, S): by each clip
        self.mass = self._mass(library.moved(np.asarray), numbers)
        self.style_size = jax.eval_shape(lambda: self._shown_at(jnp.zeros((), int), jnp.zeros((), int))).shape[0]
        self.clusters = self.shares = None
        if not self.of_differences:
            self.clusters, self.shares = self._clusters(library.moved(np.asarray), numbers)

    def _clusters(self, library: MotionLibrary, numbers: np.ndarray) -> tuple[Clusters, np.ndarray]:
        some = some_of(len(library.qpos))
        features = style_features(library.at(some), self.layout)
        clusters = make_clusters(features, self.layout.kinds)
        if not self.styles:
            return clusters, clusters.share[None]
        return clusters, shares_of(clusters, features, np.repeat(numbers, library.clip_length)[some], len(self.styles))

    def _mass(self, library: MotionLibrary, numbers: np.ndarray) -> Array:
        """Up to and with each clip, how much is drawn; (C,). By length and weight, of all styles as much."""
        mass = library.clip_length * library.clip_weight
        return jnp.cumsum(jnp.asarray(mass / np.bincount(numbers, mass)[numbers], jnp.float32))

    def demo(self, key: Array) -> Array:
        """What a discriminator would be shown at a random moment of the clips; (W,). Clips weigh by length and weight,
        styles alike."""
        key_clip, key_frame = jax.random.split(key)
        clip = jnp.searchsorted(self.mass, jax.random.uniform(key_clip) * self.mass[-1], side="right")
        clip = jnp.minimum(clip, self.library.num_clips - 1)
        frame = jnp.floor(jax.random.uniform(key_frame) * self.library.clip_length[clip]).astype(jnp.int32)
        return self._shown_at(clip, frame)

    def begun(self, clip: Array, frame: Array, state: KinematicState) -> Array | None:
        """The window (n, P) of a body that has moved as the clip up to `frame` and is at `state` now; None for differences."""
        return None if self.of_differences else self._window(clip, frame).at[0].set(style_features(state, self.layout))

    def moved(self, window: Array | None, state: KinematicState, invalid: Array) -> Array | None:
        """The window after a control step; as before where the physics broke."""
        if window is None:
            return None
        fresh = jnp.concatenate([style_features(state, self.layout)[None], window[:-1]])
        return jnp.where(invalid, window, fresh)

    def shown(
        self, window: Array | None, state: KinematicState, reference: KinematicState, action: Array, told: Array | None
    ) -> Array:
        """What a discriminator judges; (W,). action (J,): that which led to `state`; told (S,): the style that was asked for."""
        if window is None:
            return difference(state, reference)
        actions = [] if self.targets is None else [action]
        return jnp.concatenate([window.reshape(-1), *actions, *([told] if self.styles and told is not None else [])])

    def _shown_at(self, clip: Array, frame: Array) -> Array:
        reference, action = self.library.lookup(clip, frame), jnp.zeros(len(self.aim.scale))
        if self.targets is not None:
            action = self.aim.action_of(clip, frame, self.targets[self.library.packed(clip, frame)])
        told = None if self.told is None else self.told[clip]
        return self.shown(self.begun(clip, frame, reference), reference, reference, action, told)

    def _window(self, clip: Array, frame: Array) -> Array:
        """Before a clip's first frame it is at rest in it."""
        frames = frame - jnp.arange(self.length)
        return jax.vmap(lambda at: style_features(self.library.lookup(clip, at), self.layout))(frames)


def _checked(targets: np.ndarray | None, library: MotionLibrary) -> np.ndarray:
    if targets is None:
        raise InputError(
            "style.actions is true, and the clips have none: expected begin tracker, whose actions are shown, or false"
        )
    if len(targets) != len(library.qpos):
        raise InputError(f"{len(targets)} joint targets for {len(library.qpos)} frames of the clips: expected one for each")
    return targets
