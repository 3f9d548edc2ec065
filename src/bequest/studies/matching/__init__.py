"""Studies on assignment and association."""
