"""One version of a library's tables, mapped into memory and indexed for search."""
