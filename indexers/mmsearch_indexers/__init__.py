"""Ingest: what to do with a folder, and how fast."""
