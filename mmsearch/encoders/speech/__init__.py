"""Transcribes speech with Whisper."""
