"""Turns contents into vectors and words."""
