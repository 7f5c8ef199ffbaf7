"""What is measured of stored answers: no model, no torch."""
