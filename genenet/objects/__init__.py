"""Connected components, seeds, watersheds and measures of volumes that are larger than memory; without torch."""
