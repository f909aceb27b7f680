"""What a library is made of: counts, a map, near-duplicates, places."""
