"""The loader of sound and video, with their subtitles."""
