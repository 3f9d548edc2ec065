"""Methods that learn from a teacher and labelled data."""
