"""Bit-serial matrix multiply with a data type per group of weights."""
