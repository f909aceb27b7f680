"""Measures speed, memory and quality; each module prints a table and none is a test."""
