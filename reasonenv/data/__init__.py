"""Where problems come from: files as they are published, lists of the user, and questions drawn by a procedure."""
