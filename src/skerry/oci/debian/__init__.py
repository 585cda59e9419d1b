"""The base layer, straight from Debian packages."""
