"""The topic filters each client keeps between connections (contract §0.2)."""

from __future__ import annotations

from collections.abc import Mapping

from skerry.contract.names import Identity
from skerry.store.storage import Storage, Transaction


class Subscriptions:
    """Filters and granted QoS per identity, kept across restarts of device and hub."""

    def __init__(self, database: Storage) -> None:
        self._database = database

    def load(self, identity: Identity) -> Mapping[str, int]:
        """What the identity last subscribed to; empty for one that never did."""
        sql = "SELECT filter, qos FROM subscriptions WHERE device = ? AND module = ?"
        return self._database.read_now(
            lambda connection: dict(connection.execute(sql, key(identity)).fetchall())
        )

    async def save(self, identity: Identity, subscriptions: Mapping[str, int]) -> None:
        """Replace them; durable when it returns."""
        rows = [(*key(identity), topic_filter, qos) for topic_filter, qos in subscriptions.items()]

        def work(connection: Transaction) -> None:
            connection.execute("DELETE FROM subscriptions WHERE device = ? AND module = ?", key(identity))
            connection.executemany("INSERT INTO subscriptions VALUES (?, ?, ?, ?)", rows)

        await self._database.write(work)


def key(identity: Identity) -> tuple[str, str]:
    """An identity as the two columns every table of the hub is keyed by."""
    return str(identity.device), str(identity.module or "")
