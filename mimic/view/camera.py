"""The camera all renderers share: MuJoCo's free camera, its projection, and one that follows a moving robot.

Azimuth and elevation [deg] are the direction of view, as in MuJoCo: azimuth 90 looks along +y, elevation -20 looks down.
Pixels: x to the right, y down, the image's corner at (0, 0).
"""

from dataclasses import dataclass
from functools import cached_property, lru_cache

import mujoco
import numpy as np

SMOOTH_S = 0.4  # standard deviation of the Gaussian that turns the root's path into the camera's [s]
VIEW_FROM_FRONT = 50.0  # how far the camera stands beside the direction of travel, seen from the front [deg]
ELEVATION, FOVY = -14.0, 45.0


@dataclass(frozen=True)
class Camera:
    """A view: looks at `lookat` (3,) [m] from `distance` [m]; `fovy` is the vertical angle of view [deg]."""

    lookat: np.ndarray
    distance: float
    azimuth: float
    elevation: float
    fovy: float = FOVY

    @cached_property
    def axes(self) -> np.ndarray:
        """Rows: right, up, forward, as unit vectors in the world; (3, 3)."""
        azimuth, elevation = np.radians([self.azimuth, self.elevation])
        forward = np.array([np.cos(elevation) * np.cos(azimuth), np.cos(elevation) * np.sin(azimuth), np.sin(elevation)])
        right = np.array([np.sin(azimuth), -np.cos(azimuth), 0.0])
        return np.stack([right, np.cross(right, forward), forward])

    @cached_property
    def position(self) -> np.ndarray:
        return self.lookat - self.distance * self.axes[2]

    def focal_px(self, height: int) -> float:
        """Focal length in pixels of an image of this height."""
        return 0.5 * height / np.tan(0.5 * np.radians(self.fovy))

    def project(self, points: np.ndarray, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
        """World points (..., 3) to pixels (..., 2) in an image of `size` (width, height), and depths (...) [m]."""
        local = (points - self.position) @ self.axes.T
        scale = self.focal_px(size[1]) / local[..., 2]
        pixel = np.stack([0.5 * size[0] + scale * local[..., 0], 0.5 * size[1] - scale * local[..., 1]], axis=-1)
        return pixel, local[..., 2]

    def rays(self, size: tuple[int, int]) -> np.ndarray:
        """The direction of every pixel's ray in the world (H, W, 3), float32, with ray . forward = 1."""
        return _rays(size, self.azimuth, self.elevation, self.fovy)

    def floor_depth(self, size: tuple[int, int], floor_z: float) -> np.ndarray:
        """Depth of a level floor in every row of a picture (H, 1) [m], inf from the horizon up; the view never rolls."""
        slope = self.rays(size)[:, :1, 2]
        return np.where(slope < -1e-6, (floor_z - self.position[2]) / np.minimum(slope, -1e-6), np.inf).astype(np.float32)

    def to_mujoco(self) -> mujoco.MjvCamera:
        """The same view for MuJoCo; `fovy` goes into the model (`vis.global_.fovy`), not into the camera."""
        camera = mujoco.MjvCamera()
        camera.type = mujoco.mjtCamera.mjCAMERA_FREE
        camera.lookat[:] = self.lookat
        camera.distance, camera.azimuth, camera.elevation = self.distance, self.azimuth, self.elevation
        return camera


@lru_cache(maxsize=4)
def _rays(size: tuple[int, int], azimuth: float, elevation: float, fovy: float) -> np.ndarray:
    width, height = size
    camera = Camera(np.zeros(3), 1.0, azimuth, elevation, fovy)
    right, up, forward = camera.axes
    x = (np.arange(width) + 0.5 - 0.5 * width) / camera.focal_px(height)
    y = (0.5 * height - np.arange(height) - 0.5) / camera.focal_px(height)
    return (forward + x[None, :, None] * right + y[:, None, None] * up).astype(np.float32)


def heading_deg(qpos: np.ndarray) -> float:
    """Which way the robot of `qpos` (F, nq) goes, or, if it stays, faces on average [deg about z]."""
    travel = qpos[-1, :2] - qpos[0, :2]
    if np.linalg.norm(travel) < 1.0:
        w, x, y, z = qpos[:, 3:7].T
        travel = np.array([np.mean(1 - 2 * (y * y + z * z)), np.mean(2 * (w * z + x * y))])  # the root's own x axis
    return float(np.degrees(np.arctan2(travel[1], travel[0])))


def view_azimuth(qpos: np.ndarray) -> float:
    """The direction of view [deg] that shows the robot of `qpos` (F, nq) from the front and side of its way."""
    return heading_deg(qpos) + 180.0 - VIEW_FROM_FRONT


def follow(
    root: np.ndarray, fps: float, *, points: np.ndarray, margin: np.ndarray, frames: np.ndarray, azimuth: float, aspect: float
) -> list[Camera]:
    """One camera per frame that glides after the path `root` (F, 3) [m], all from one direction and distance.

    `points` (S, P, 3) [m] at the frames `frames` (S,), with `margin` (P,) [m] around them, stay in view; the camera
    aims at the middle of what they span. `aspect`: width / height.
    """
    path = _smoothed(root, SMOOTH_S * fps)
    path[:, 2] = 0.5 * path[:, 2] + 0.5 * np.median(root[:, 2])  # jumps are to be seen, not followed
    axes = Camera(path[0], 1.0, azimuth, ELEVATION).axes
    spread = (points - path[frames, None]) @ axes.T  # right, up and forward of the path
    low, high = (spread - margin[:, None]).min((0, 1)), (spread + margin[:, None]).max((0, 1))
    middle, half = (low + high) / 2, (high - low) / 2
    tangent = np.tan(np.radians(FOVY / 2))
    distance = max(half[1] / tangent, half[0] / (aspect * tangent)) + half[2]
    return [Camera(point + middle @ axes, float(distance), azimuth, ELEVATION, FOVY) for point in path]


def _smoothed(path: np.ndarray, sigma: float) -> np.ndarray:
    """Gaussian filter along the frames of `path` (F, 3), its ends extended by themselves; sigma [frames]."""
    reach = int(np.ceil(3 * sigma))
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / max(sigma, 1e-6)) ** 2)
    padded = np.concatenate([np.repeat(path[:1], reach, 0), path, np.repeat(path[-1:], reach, 0)])
    return np.stack([np.convolve(column, kernel / kernel.sum(), "valid") for column in padded.T], axis=1)
