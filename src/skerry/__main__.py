"""``python -m skerry`` is the ``skerry`` command."""

from skerry.cli.main import main

main()
