"""Reads writing in images."""
