"""Data-free distillation: a student from a teacher and nothing else."""
