"""From skin markers of the Plug-in Gait set to joint centres, by the set's own proportions.

Hip centres lie from the middle of the front pelvis markers by parts of their distance (Bell 1990): back 0.19, down
0.30, sideways 0.36. Knee, ankle, elbow and shoulder centres lie inwards of, or below, their marker by parts of the
same distance. This is an estimate to a few centimetres: no subject's measures are in use.
"""

import numpy as np

_BACK, _DOWN, _SIDE = 0.19, 0.30, 0.36
_KNEE, _ANKLE, _ELBOW, _SHOULDER_DOWN = 0.20, 0.15, 0.13, 0.20  # inwards or down, over the pelvis markers' distance

NEEDED = ("ASI", "KNE", "ANK", "TOE")  # of each side
_PARENTS = {"Hips": "", "Chest": "Hips", "Neck": "Chest", "Head": "Neck"} | {
    f"{side}{joint}": parent.format(side=side)
    for side in ("Left", "Right")
    for joint, parent in (
        ("UpLeg", "Hips"),
        ("Leg", "{side}UpLeg"),
        ("Foot", "{side}Leg"),
        ("ToeBase", "{side}Foot"),
        ("Arm", "Chest"),
        ("ForeArm", "{side}Arm"),
        ("Hand", "{side}ForeArm"),
    )
}


def joint_centres(pos: np.ndarray, labels: list[str]) -> tuple[np.ndarray, list[str], list[int]] | None:
    """Joint centres (F, J, 3), names and parents; None where the labels are not of this set.

    pos (F, P, 3) in any unit and axes; joints whose markers are missing are left out, with what hangs on them.
    """
    at = {label.upper(): pos[:, p] for p, label in enumerate(labels)}
    back = [name for name in ("LPSI", "RPSI", "SACR") if name in at]
    if not back or any(side + name not in at for side in "LR" for name in NEEDED):
        return None
    front, rear = 0.5 * (at["LASI"] + at["RASI"]), np.mean([at[name] for name in back], axis=0)
    across = at["LASI"] - at["RASI"]
    width = np.linalg.norm(across, axis=1, keepdims=True)
    left = across / np.maximum(width, 1e-12)
    forward = _unit(front - rear - left * np.sum((front - rear) * left, axis=1, keepdims=True))
    up = np.cross(forward, left)
    found = {"Hips": 0.5 * (front + rear)}
    for mark, side, out in (("L", "Left", left), ("R", "Right", -left)):
        hip = front + width * (_SIDE * out - _BACK * forward - _DOWN * up)
        found |= {f"{side}UpLeg": hip, f"{side}ToeBase": at[f"{mark}TOE"]}
        found |= {f"{side}Leg": at[f"{mark}KNE"] - _KNEE * width * out, f"{side}Foot": at[f"{mark}ANK"] - _ANKLE * width * out}
        if f"{mark}SHO" in at:
            found[f"{side}Arm"] = at[f"{mark}SHO"] - _SHOULDER_DOWN * width * up
        if f"{mark}ELB" in at:
            found[f"{side}ForeArm"] = at[f"{mark}ELB"] - _ELBOW * width * out
        wrist = [at[f"{mark}{name}"] for name in ("WRA", "WRB", "WRI") if f"{mark}{name}" in at]
        if wrist:
            found[f"{side}Hand"] = np.mean(wrist, axis=0)
    for joint, marks in (
        ("Chest", ("C7", "CLAV", "T10", "STRN")),
        ("Neck", ("C7", "CLAV")),
        ("Head", ("LFHD", "RFHD", "LBHD", "RBHD")),
    ):
        if all(mark in at for mark in marks):
            found[joint] = np.mean([at[mark] for mark in marks], axis=0)
    names: list[str] = []
    for joint, parent in _PARENTS.items():
        if joint in found and (not parent or parent in names):
            names.append(joint)
    parents = [names.index(_PARENTS[name]) if _PARENTS[name] else -1 for name in names]
    return np.stack([found[name] for name in names], axis=1), names, parents


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)
