"""Real jobs on generated cores."""
