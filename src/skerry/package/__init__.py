"""The model package: what the build writes and the device reads."""
