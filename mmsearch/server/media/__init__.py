"""What the HTTP server and the web pages share: media by id over HTTP, guarded."""
