"""A small HTTP/1.1 server: bytes in, requests out; responses in, bytes out."""
