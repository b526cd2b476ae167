"""The reference page of the Python modules that others may build on; mkdocstrings fills it in, without importing them."""

MODULES = {
    "Motions": ("motions.motion", "motions.skeleton", "motions.rotations", "motions.kinematics", "motions.formats.reading",
                "motions.formats.writing", "motions.library", "motions.errors"),
    "Retargeting": ("retarget.pipeline", "retarget.batch", "retarget.mapping", "retarget.quality", "retarget.verdict"),
    "Training": ("mimic.mdp.rewards", "mimic.mdp.terminations", "mimic.mdp.sampling", "mimic.mdp.goals", "mimic.metrics"),
    "Deployment": ("mimic.deploy.policy", "mimic.deploy.sim2sim"),
}  # fmt: skip


def api_page() -> str:
    """One section per module."""
    lines = ["# API", "", "What one may build on in Python. Shapes are in parentheses, units in brackets.", ""]
    for modules in MODULES.values():
        for module in modules:
            lines += [f"::: {module}", ""]
    return "\n".join(lines)
