"""Servers for other programs: HTTP and MCP."""
