"""Scoring scripts of users, written for Azure ML: ``init()`` and ``run()``, served as they are."""
