"""Exports hits: tables, playlists, edit decision lists, and folders of files."""
