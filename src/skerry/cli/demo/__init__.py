"""``skerry demo``: the whole path, from a trained Keras CNN to predictions on a device, also offline."""
