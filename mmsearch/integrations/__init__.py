"""Retrievers for frameworks of language models."""
