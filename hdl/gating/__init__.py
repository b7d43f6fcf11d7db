"""Element-wise units of gated layers."""
