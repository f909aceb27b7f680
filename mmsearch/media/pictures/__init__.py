"""Loaders of pictures, and what is stated in and beside them."""
