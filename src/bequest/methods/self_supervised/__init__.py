"""Methods that learn representations without labels, from images and larger networks."""
