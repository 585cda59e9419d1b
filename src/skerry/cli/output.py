"""What people and scripts see: lines, tables, JSON, errors and exit codes. The only place that prints."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from skerry.errors import (
    AlreadyExists,
    Damaged,
    InvalidInput,
    NotAllowed,
    NotAuthenticated,
    NotFound,
    PreconditionFailed,
    SkerryError,
    StorageFull,
    Throttled,
    TimedOut,
    TooLarge,
    Unavailable,
    Unsupported,
)

# Part of the contract with scripts and supervisors; docs/cli.md lists them.
EXIT_FAILED = 1
# click's own: an unknown command or option, a file argument that does not exist.
EXIT_USAGE = 2
EXIT_CODES: Mapping[type[SkerryError], int] = {
    InvalidInput: 3,
    TooLarge: 3,
    NotFound: 4,
    NotAuthenticated: 5,
    NotAllowed: 5,
    AlreadyExists: 6,
    PreconditionFailed: 6,
    Unavailable: 7,
    TimedOut: 7,
    Throttled: 7,
    StorageFull: 8,
    Unsupported: 9,
    Damaged: 10,
}
# Ctrl-C, as shells report it: 128 + SIGINT.
EXIT_INTERRUPTED = 130
COLUMN_GAP = "  "


def say(text: str = "") -> None:
    """One line for people, on standard output."""
    print(text, flush=True)


def note(text: str) -> None:
    """One line of progress, on standard error, so that it never mixes with results."""
    print(text, file=sys.stderr, flush=True)


def raw(line: bytes) -> None:
    """Bytes of a module's log as they are."""
    sys.stdout.buffer.write(line + b"\n")
    sys.stdout.buffer.flush()


def dump(value: Any) -> None:
    """JSON for scripts."""
    print(json.dumps(value, indent=2, ensure_ascii=False, default=str), flush=True)


def line(value: Any) -> None:
    """One JSON document on a line of its own; ASCII, so that any string a device ever sent can be printed."""
    print(json.dumps(value), flush=True)


def table(headers: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Columns as wide as their widest cell; no trailing blanks."""
    cells = [[str(cell) for cell in row] for row in [headers, *rows]]
    widths = [max(len(row[column]) for row in cells) for column in range(len(headers))]
    return "\n".join(
        COLUMN_GAP.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in cells
    )


def exit_code(error: SkerryError) -> int:
    """The documented exit code for a kind of error."""
    return next((code for kind, code in EXIT_CODES.items() if isinstance(error, kind)), EXIT_FAILED)


def fail(error: SkerryError) -> int:
    """Show an error with the fields that help and its hint; returns the exit code."""
    note(f"skerry: {error.what}")
    for name, value in error.fields.items():
        if str(value) and str(value) not in error.what:
            note(f"  {name}: {value}")
    if error.hint:
        note(f"  hint: {error.hint}")
    return exit_code(error)
