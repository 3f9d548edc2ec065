"""Learnable one-to-one assignment."""
