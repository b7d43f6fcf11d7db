"""Blocks of FPGAs, instantiated where synthesis would leave their registers outside."""
