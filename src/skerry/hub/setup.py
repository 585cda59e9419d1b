"""The first start of a hub: its certificates, its database, its policies. Later starts change nothing."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

from skerry.clock import Clock
from skerry.contract.credentials import ConnectionString
from skerry.errors import NotFound
from skerry.hub import certificates, policies
from skerry.hub.fresh import fresh_scope
from skerry.hub.schema import HUB_MIGRATIONS
from skerry.hub.settings import HubSettings
from skerry.store.database import Database
from skerry.store.faults import translate

DATABASE_FILE = "hub.db"
TELEMETRY_FILE = "telemetry.db"
UPLOADS_FOLDER = "uploads"


async def initialise(data_dir: Path, settings: HubSettings, clock: Clock) -> None:
    """Create what a hub needs under ``data_dir`` if it is not there yet; safe to repeat.

    Keys and certificates that exist are kept; the host name in connection strings follows ``settings``.
    Raises Damaged, StorageFull, Unavailable.
    """
    await asyncio.to_thread(certificates.ensure, data_dir, settings.names, clock)
    database = await Database.open(data_dir / DATABASE_FILE, HUB_MIGRATIONS)
    try:
        await database.write(lambda connection: _prepare(connection, settings.host_name))
    finally:
        await database.close()


def connection_string(data_dir: Path, policy: str) -> str:
    """The connection string of a policy of an initialised hub; raises NotFound, Damaged."""
    path = data_dir / DATABASE_FILE
    if not path.exists():
        raise NotFound(
            f"no hub in {data_dir}", hint="start one there first: skerry hub up", path=str(data_dir)
        )
    host_name, known = _read(path)
    if policy not in known:
        raise NotFound(f"no policy {policy!r}", hint=f"there are: {', '.join(sorted(known))}", policy=policy)
    return ConnectionString(
        host_name=host_name, shared_access_key_name=policy, shared_access_key=known[policy].keys[0]
    ).render()


def _read(path: Path) -> tuple[str, dict[str, policies.Policy]]:
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
            known = policies.load(connection)
            (host_name,) = connection.execute("SELECT value FROM about WHERE key = 'host_name'").fetchone()
    except sqlite3.Error as error:
        raise translate(error, path) from error
    return host_name, known


def _prepare(connection: sqlite3.Connection, host_name: str) -> None:
    connection.execute("INSERT OR REPLACE INTO about VALUES ('host_name', ?)", (host_name,))
    connection.execute("INSERT OR IGNORE INTO about VALUES ('id_scope', ?)", (fresh_scope(),))
    policies.create_missing(connection)
