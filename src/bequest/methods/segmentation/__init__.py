"""Distillation of networks that label each pixel."""
