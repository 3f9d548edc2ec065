"""Studies of methods that learn from images without labels, collected elsewhere."""
