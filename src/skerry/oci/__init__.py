"""Container images without a daemon: layers, manifests, layouts and the layers of our own images."""
