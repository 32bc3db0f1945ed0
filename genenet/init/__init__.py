"""``genenet init``: survey the images, split them, choose sizes, try a training, and write the config."""
