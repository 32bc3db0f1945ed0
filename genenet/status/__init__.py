"""How far a search is, read from its files alone."""
