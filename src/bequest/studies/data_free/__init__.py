"""Studies of data-free distillation."""
