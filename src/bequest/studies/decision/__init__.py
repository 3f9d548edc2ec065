"""Studies of methods that decide."""
