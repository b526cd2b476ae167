"""Reference pages of what is measured and seen: the metrics and the terms of an observation, from the functions themselves."""

from tables import code, table, text

from mimic.mdp.observations import TERMS
from mimic.metrics import METRICS, SUCCESS_DISTANCE_M


def metrics_page() -> str:
    """Every metric, its key in JSON, its unit and its definition."""
    rows = [
        (metric.key, (code(metric.key), text(metric.symbol), text(metric.unit), "yes" if metric.headline else "",
                      text(metric.per_frame.__doc__ or "")))
        for metric in METRICS
    ]  # fmt: skip
    successes = [
        (key, (code(key), f"The mean world distance of the tracked bodies never exceeds {bound:g} m."))
        for key, bound in SUCCESS_DISTANCE_M.items()
    ]
    height = (
        "success_height",
        (code("success_height"), "The clip was completed: the height rule never failed. A bare “success”."),
    )
    return "\n".join(
        [
            "# Metrics",
            "",
            "What `mimic evaluate` measures, and its keys in `evaluation.json` and `--json`. How and of what: "
            "[Evaluation](../concepts/evaluation.md).",
            "",
            "## Errors",
            "",
            table(("key", "symbol", "unit", "in tables", "what"), rows),
            "",
            "## Success",
            "",
            table(("key", "what"), [height, *successes]),
            "",
        ]
    )


def observations_page() -> str:
    """Every observation term."""
    rows = [(name, (code(name), text(term.__doc__ or ""))) for name, term in TERMS.items()]
    return "\n".join(
        [
            "# Observations",
            "",
            "Terms that `observation.actor`, `observation.critic` and `observation.history_terms` may name. The shape stands at "
            "the end: J joints, K tracked bodies, H future frames, D numbers drawn. Frames and orders: "
            "[Conventions](../concepts/conventions.md).",
            "",
            table(("term", "what"), rows),
            "",
        ]
    )
