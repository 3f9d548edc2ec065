"""Smaller networks from yours: pruned, then healed."""
