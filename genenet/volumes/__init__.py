"""Images in and out, box by box."""
