"""Real images with a real model, made on the user's machine."""
