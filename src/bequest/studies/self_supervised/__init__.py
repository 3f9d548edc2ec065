"""Studies of methods that learn representations without labels."""
