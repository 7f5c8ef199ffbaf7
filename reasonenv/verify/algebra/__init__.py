"""A small computer algebra for answers: read LaTeX, bring to a normal form, compare."""
