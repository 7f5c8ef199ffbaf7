"""The commands, one a file, each with its `app`. Heavy imports stand inside the functions."""
