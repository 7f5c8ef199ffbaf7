"""Drawing with torch alone: a flat key-value cache over a packed copy of the policy."""
