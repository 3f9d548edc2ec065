"""Pure tensor operations."""
