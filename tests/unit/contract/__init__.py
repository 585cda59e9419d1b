"""Tests of the contract kernel."""
