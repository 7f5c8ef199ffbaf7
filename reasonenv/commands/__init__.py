"""The commands, one a file: `HELP`, an `EXAMPLE`, its `arguments`, and `run`. Heavy imports stand inside `run`."""
