"""Protects the HTTP API and the web pages: connections, hosts, tokens and limits."""
