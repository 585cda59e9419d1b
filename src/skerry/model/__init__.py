"""From a trained Keras file to a verified model package."""
