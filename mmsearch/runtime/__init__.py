"""Runs networks, and keeps their weights."""
