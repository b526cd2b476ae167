"""The report of runs: what they achieved, at what margin and cost, in one HTML page and as JSON (docs/report.md)."""
