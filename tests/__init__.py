"""What holds: each test's name is a claim."""
