"""A model replaced while it serves: fetched, checked, tried, switched, and back."""
