"""Episodes: what a sampler draws in a decision process, verified and grouped by problem."""
