"""A command with many options, whose help reads like a manual page: options under headings, exit codes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import click

OTHER = "Other options"


class Manual(click.Command):
    """``headings``: options by their long names under each heading; ``notes``: paragraphs behind them."""

    def __init__(
        self,
        *arguments: Any,
        headings: Mapping[str, Sequence[str]],
        notes: Mapping[str, Sequence[tuple[str, str]]],
        **options: Any,
    ) -> None:
        super().__init__(*arguments, **options)
        self._headings = headings
        self._notes = notes

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        options = [param for param in self.get_params(ctx) if isinstance(param, click.Option)]
        records = {option.opts[0]: option.get_help_record(ctx) for option in options}
        shown = {name: record for name, record in records.items() if record is not None}
        for heading, names in self._headings.items():
            with formatter.section(heading):
                formatter.write_dl([shown.pop(name) for name in names])
        with formatter.section(OTHER):
            formatter.write_dl(list(shown.values()))
        for heading, rows in self._notes.items():
            with formatter.section(heading):
                formatter.write_dl(rows)
