"""Consumer groups of the event log: how far each has read, durably."""

from __future__ import annotations

import re
from typing import Any

from skerry.clock import Clock, iso
from skerry.errors import InvalidInput, NotAllowed, NotFound
from skerry.hub.telemetry import Telemetry
from skerry.store.storage import Storage, Transaction

# Azure's bound, and its rule for names; the first is always there and has no checkpoint.
GROUPS_MAX = 20
DEFAULT = "$Default"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,49}")


class Consumers:
    """A checkpoint is the last event that a group's readers are done with."""

    def __init__(self, database: Storage, telemetry: Telemetry, clock: Clock) -> None:
        self._database = database
        self._telemetry = telemetry
        self._clock = clock

    async def commit(self, name: str, sequence: int) -> dict[str, Any]:
        """Move a group's checkpoint, also backwards; the first time makes the group.

        Raises InvalidInput (an illegal name, an event that has not come yet), NotAllowed (too many).
        """
        if not NAME.fullmatch(name):
            raise InvalidInput(
                f"{name[:60]!r} is no consumer group", hint="1 to 50 of A-Z a-z 0-9 . _ -", field="name"
            )
        newest = await self._telemetry.newest()
        if not 0 <= sequence <= newest:
            raise InvalidInput(
                f"there is no event {sequence}", hint=f"a number from 0 to {newest}", field="sequence"
            )
        now = iso(self._clock.now())

        def work(connection: Transaction) -> None:
            known = dict(connection.execute("SELECT name, sequence FROM consumer_groups").fetchall())
            if name not in known and len(known) >= GROUPS_MAX:
                raise NotAllowed(f"there are {GROUPS_MAX} consumer groups", hint="delete one")
            connection.execute(
                "INSERT OR REPLACE INTO consumer_groups VALUES (?, ?, ?)", (name, sequence, now)
            )

        await self._database.write(work)
        return {"name": name, "sequence": sequence, "updated": now, "behind": newest - sequence}

    async def checkpoint(self, name: str) -> int:
        """The last event that the group is done with; raises NotFound."""
        sql = "SELECT sequence FROM consumer_groups WHERE name = ?"
        row = await self._database.read(lambda connection: connection.execute(sql, (name,)).fetchone())
        if row is None:
            raise _unknown(name)
        return int(row[0])

    async def listed(self) -> list[dict[str, Any]]:
        """Every group by name; ``behind`` is how many events it has not read."""
        sql = "SELECT name, sequence, updated FROM consumer_groups ORDER BY name"
        found = await self._database.read(lambda connection: connection.execute(sql).fetchall())
        newest = await self._telemetry.newest()
        return [
            {"name": name, "sequence": sequence, "updated": updated, "behind": newest - sequence}
            for name, sequence, updated in found
        ]

    async def delete(self, name: str) -> None:
        """Forget a group; raises NotFound."""
        sql = "DELETE FROM consumer_groups WHERE name = ?"
        if not await self._database.write(lambda connection: connection.execute(sql, (name,)).rowcount):
            raise _unknown(name)


def _unknown(name: str) -> NotFound:
    return NotFound(
        f"there is no consumer group {name[:60]!r}", hint="make it: skerry events commit", field="name"
    )
