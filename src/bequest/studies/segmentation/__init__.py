"""Studies of networks that label each pixel."""
