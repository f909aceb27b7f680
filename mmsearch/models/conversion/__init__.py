"""Converts published weights to the networks that mmsearch runs."""
