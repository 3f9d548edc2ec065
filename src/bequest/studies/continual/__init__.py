"""Studies of methods that learn from a stream whose past does not come again."""
