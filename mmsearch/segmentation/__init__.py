"""Cuts the contents of files into segments, and encodes them."""
