"""The verification ladder: rungs that any core climbs, and the report of a signoff."""
