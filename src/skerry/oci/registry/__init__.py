"""A registry's client: images and artifacts pushed and pulled (OCI distribution specification 1.1)."""
