"""Programs of answers, run against unit tests in a process that may do nothing else."""
