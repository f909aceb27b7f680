"""Fetches model files from the hub into its local cache."""
