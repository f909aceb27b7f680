"""Serves media by id over HTTP, for the HTTP server and the web pages."""
