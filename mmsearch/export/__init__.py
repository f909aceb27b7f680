"""Hits for other programs: tables, playlists, edit decision lists, and folders of files."""
