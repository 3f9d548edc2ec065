"""The algorithms, one module each, by family."""
