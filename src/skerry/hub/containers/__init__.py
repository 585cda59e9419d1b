"""The hub's container registry: images and model packages, pushed and pulled by any OCI client."""
