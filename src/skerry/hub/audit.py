"""The audit log as operators read it: who changed what, when, from where."""

from __future__ import annotations

from typing import Any

from skerry.hub import audit_rows
from skerry.hub.journal import Journal
from skerry.store.storage import Storage

PAGE_MAX = 1_000


class Audit:
    """Entries are written by the journal, in the transaction of the change they are about."""

    def __init__(self, database: Storage, journal: Journal) -> None:
        self._database = database
        self._journal = journal

    async def note(self, action: str, target: str, *, before: str = "", after: str = "") -> None:
        """Enter a change of what is kept elsewhere, once it is done."""
        await self._database.write(
            lambda c: self._journal.acted(c, action, target, before=before, after=after)
        )

    async def entries(
        self, limit: int, *, before: int | None = None, target: str | None = None, who: str | None = None
    ) -> list[dict[str, Any]]:
        """The newest first, at most ``limit`` and a thousand; ``before`` goes on after an earlier page."""
        return await self._database.read(
            lambda c: audit_rows.listed(c, before, min(limit, PAGE_MAX), target, who)
        )
