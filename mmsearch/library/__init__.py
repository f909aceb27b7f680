"""The library: one folder of tables and indexes that answers searches over many files."""
