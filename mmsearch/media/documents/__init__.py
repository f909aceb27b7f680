"""Loaders of documents: PDF, Office, OpenDocument, books, notebooks."""
