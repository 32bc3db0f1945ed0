"""``genenet init``: from images and labels to a config.yaml, with what it costs and what is wrong with them."""
