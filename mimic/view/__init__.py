"""Pictures: video, plots, report."""
