"""Ranks: retrieves in every space, calibrates, fuses, groups."""
