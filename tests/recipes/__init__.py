"""The recipes of redistributors, run."""
