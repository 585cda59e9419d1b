"""What the columns of a query's result are called."""

from __future__ import annotations

from collections.abc import Sequence

from skerry.contract.query_expression import Aggregate, Column, Path

COLUMNS_MAX = 64


def named(
    found: Sequence[tuple[str | None, str | None, Path | None]],
) -> tuple[Column | Aggregate, ...]:
    """The columns with their names: an alias, else the last name of the path, else all of it."""
    taken = {alias for alias, _, _ in found if alias}
    columns: list[Column | Aggregate] = []
    for alias, function, path in found:
        last = next((step for step in reversed(path.steps) if isinstance(step, str)), "") if path else ""
        short, full = (
            (function.lower(), f"{function.lower()}({path or ''})") if function else (last, str(path))
        )
        choices = [alias] if alias else [short, full, *(f"{full} {n}" for n in range(2, COLUMNS_MAX + 2))]
        name = next(choice for choice in choices if alias or choice not in taken)
        taken.add(name)
        columns.append(Aggregate(name, function, path) if function else Column(name, path or Path(())))
    return tuple(columns)
