"""Networks in torch, tiled prediction, and the device they run on."""
