"""Small pictures of large files: thumbnails, stills of films, waveforms of sounds."""
