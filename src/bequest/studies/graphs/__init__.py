"""Studies on graphs."""
