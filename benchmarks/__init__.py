"""Skerry measured against its peers: ``python -m benchmarks``. Only ratios within one run are claimed."""
