"""Reads files: metadata, and a stream of pictures, sound, cues and passages."""
