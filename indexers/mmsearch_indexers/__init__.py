"""Indexers: bring a library up to date with folders."""
