"""What the module answers over HTTP: each file speaks one protocol over the same data plane."""
