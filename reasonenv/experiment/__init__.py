"""From settings to a run in a folder, and from many runs to a suite."""
