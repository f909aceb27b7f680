"""Queries, their ranking settings and their filters, as frozen values."""
