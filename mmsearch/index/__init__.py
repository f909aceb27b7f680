"""Finds nearest neighbours; every index can be rebuilt from the store."""
