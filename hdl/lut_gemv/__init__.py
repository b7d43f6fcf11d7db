"""Table-lookup matrix-vector multiply with weights of 1 to 4 bits."""
