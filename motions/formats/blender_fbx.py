"""FBX: written by the user's own Blender, run in the background on a GLB of ours; no free writer of it exists otherwise.

Blender is the program named by BLENDER, else `blender` on the PATH. The result holds an armature with the joints'
names, the skinned geometry, and one baked animation at the motion's rate; it is Y up, as FBX readers expect.
"""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from motions.errors import InputError
from motions.formats.glb import glb_bytes
from motions.formats.scene import make_scene
from motions.motion import Motion
from motions.skeleton import SkeletonMotion

if TYPE_CHECKING:
    from motions.kinematics import Body

VARIABLE = "BLENDER"
TIMEOUT_S = 600.0
SCRIPT = '''\
"""Run by Blender: blender --background --python THIS -- IN.glb OUT.fbx FPS"""
import sys

import bpy
import numpy

if not hasattr(numpy, "bool"):  # Blender 3.4's importer wants a name that newer numpy has dropped
    numpy.bool = bool
glb, fbx, fps = sys.argv[sys.argv.index("--") + 1 :]
bpy.ops.wm.read_factory_settings(use_empty=True)
scene = bpy.context.scene
scene.render.fps = max(1, round(float(fps)))
scene.render.fps_base = scene.render.fps / float(fps)
bpy.ops.import_scene.gltf(filepath=glb)
# The importer adds a shape that it draws bones with: it is no part of the motion.
kept = {child for child in scene.objects if child.type == "ARMATURE" or child.find_armature() is not None}
for leftover in [child for child in scene.objects if child not in kept]:
    bpy.data.objects.remove(leftover)
ends = [action.frame_range for action in bpy.data.actions]
scene.frame_start = round(min(end[0] for end in ends))
scene.frame_end = round(max(end[1] for end in ends))
bpy.ops.export_scene.fbx(
    filepath=fbx, object_types={"ARMATURE", "MESH"}, add_leaf_bones=False,
    bake_anim=True, bake_anim_use_nla_strips=False, bake_anim_use_all_actions=False, bake_anim_simplify_factor=0.0,
)
'''


def find_blender() -> Path:
    """The user's Blender. Raises `InputError` with what to do where there is none."""
    named = os.environ.get(VARIABLE)
    found = shutil.which(named or "blender")
    if found is None:
        where = f"{VARIABLE}={named} is no program" if named else f"no `blender` on the PATH, and {VARIABLE} is not set"
        raise InputError(
            f"FBX files are written by Blender, and there is none: {where}. Install it (3.0 or newer), or write .glb, which "
            "Blender, Unity and Unreal import, or .bvh"
        )
    return Path(found)


def blender_command(blender: Path, script: Path, glb: Path, fbx: Path, fps: float) -> list[str]:
    """The command line: no window, no user settings, and a failing script gives an exit code."""
    options = ["--background", "--factory-startup", "--python-exit-code", "1", "--python", str(script)]
    return [str(blender), *options, "--", str(glb), str(fbx), f"{fps:.9g}"]


def write_fbx(motion: Motion | SkeletonMotion, path: str | Path, body: "Body | None" = None) -> tuple[str, ...]:
    """Write the motion of a captured skeleton, or of a robot with its `body`. Returns notes.

    Raises `InputError` where Blender is missing or fails; its last words are in the message.
    """
    path = Path(path).absolute()
    blender = find_blender()
    scene = make_scene(motion, body)
    with tempfile.TemporaryDirectory() as folder:
        glb, script, fbx = (Path(folder) / name for name in ("motion.glb", "to_fbx.py", "motion.fbx"))
        glb.write_bytes(glb_bytes(scene))
        script.write_text(SCRIPT)
        _run(blender_command(blender, script, glb, fbx, scene.motion.fps), fbx, path)
        shutil.copyfile(fbx, path)
    return (*scene.notes, f"written by {blender}")


def _run(command: list[str], fbx: Path, path: Path) -> None:
    # Blender has a Python of its own, which must not find the packages of this one.
    env = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "PYTHONHOME")}
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=TIMEOUT_S, check=False, env=env)
    except subprocess.TimeoutExpired as error:
        raise InputError(f"{path}: Blender took more than {TIMEOUT_S:g} s and was stopped") from error
    except OSError as error:
        raise InputError(f"{path}: {command[0]} cannot be run ({error.strerror})") from error
    if done.returncode != 0 or not fbx.is_file():
        said = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
        raise InputError(f"{path}: Blender failed (exit code {done.returncode}): {' / '.join(said[-3:]) or 'it said nothing'}")
