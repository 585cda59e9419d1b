"""Skerry takes a trained Keras CNN to a fleet of edge devices and keeps it predicting there."""

__version__ = "0.1.0"
