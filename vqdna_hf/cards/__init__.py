"""Model cards: what they say of a directory, and where they say it from."""
