"""The searches that come with the package, one a file; `rollout.SEARCHES` has their names."""
