"""Distillation of networks that classify graphs."""
