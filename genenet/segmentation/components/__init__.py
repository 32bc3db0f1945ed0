"""Connected components of a volume that is larger than memory."""
