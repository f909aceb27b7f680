"""Loaders of plain text, HTML and tables, and the cutting of text."""
