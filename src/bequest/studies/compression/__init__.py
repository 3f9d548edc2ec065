"""Studies of compression."""
