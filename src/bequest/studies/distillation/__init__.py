"""Studies of methods that learn from a teacher and labelled data."""
