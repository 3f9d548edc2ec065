"""Methods that learn from a teacher and images without labels, collected elsewhere."""
