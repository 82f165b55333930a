"""The configured study as a whole: its settings, cost, progress and ends."""
