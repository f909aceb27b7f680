"""The truth of a library: LanceDB tables and library.toml."""
