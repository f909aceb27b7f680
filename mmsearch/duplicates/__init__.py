"""Finds near-duplicate images and groups them under the best of them."""
