"""Ternary matrix-vector multiply."""
