"""The progress of a search, read from its files alone."""
