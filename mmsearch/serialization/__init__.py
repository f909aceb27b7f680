"""The JSON objects that `--json`, HTTP and the client share: each is declared once."""
