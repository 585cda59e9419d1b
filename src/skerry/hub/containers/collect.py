"""Garbage of the registry: what nothing names any more, once nobody can be about to name it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

from skerry.clock import Clock, iso
from skerry.hub.containers.containers import Containers
from skerry.store.storage import Storage, Transaction

log = logging.getLogger(__name__)

# A client asks which blobs are here, sends the others and names them all; within this it has done so.
GRACE_S = 3600.0

# Without a tag, in no index, attached to nothing that is here.
_UNNAMED = """
    FROM manifests AS m WHERE pushed < ?
    AND NOT EXISTS (SELECT 1 FROM tags t WHERE t.repository = m.repository AND t.digest = m.digest)
    AND NOT EXISTS (SELECT 1 FROM parts p WHERE p.repository = m.repository AND p.digest = m.digest)
    AND NOT EXISTS (SELECT 1 FROM manifests s WHERE s.repository = m.repository AND s.digest = m.subject)
"""
_UNUSED_LINKS = """
    FROM links AS l WHERE linked < ?
    AND NOT EXISTS (SELECT 1 FROM parts p WHERE p.repository = l.repository AND p.digest = l.digest)
"""


@dataclass(frozen=True, slots=True)
class Collected:
    """What was removed, or would be: manifests, blobs and their bytes."""

    manifests: int
    blobs: int
    bytes: int


async def collect(
    containers: Containers,
    clock: Clock,
    *,
    untagged: bool = False,
    kept: Collection[str] = (),
    grace_s: float = GRACE_S,
) -> Collected:
    """Remove blobs that no manifest names; with ``untagged`` first manifests that have no tag, but ``kept``.

    Nothing younger than ``grace_s`` goes, nor what a client was told to be here within that time.
    """
    before = iso(clock.now() - timedelta(seconds=grace_s))
    for digest, at in list(containers.told.items()):
        if clock.monotonic() - at >= grace_s:
            del containers.told[digest]
    recently = set(containers.told)
    removed = 0
    if untagged:
        removed = await _drop_untagged(containers.database, before, frozenset(kept) | recently)
    await containers.database.write(lambda c: _drop_links(c, before, recently))
    known = await containers.database.read(_named)
    blobs, size = 0, 0
    # In steps of one blob, so that a push in between is seen.
    for digest in await containers.blobs.digests():
        if digest in known or digest in recently:
            continue
        found = await _drop_blob(containers, digest, clock.now().timestamp() - grace_s)
        blobs, size = blobs + (found is not None), size + (found or 0)
    log.info("garbage collected: %d manifests, %d blobs, %d bytes", removed, blobs, size)
    return Collected(removed, blobs, size)


async def _drop_untagged(database: Storage, before: str, kept: frozenset[str]) -> int:
    removed = 0
    while True:
        rows = await database.read(
            lambda c: c.execute(f"SELECT repository, digest {_UNNAMED}", (before,)).fetchall()
        )
        # An index that goes leaves its manifests unnamed: look again.
        gone = [(str(repository), str(digest)) for repository, digest in rows if digest not in kept]
        if not gone:
            return removed
        await database.write(partial(_delete_manifests, gone=gone))
        removed += len(gone)


def _delete_manifests(connection: Transaction, gone: list[tuple[str, str]]) -> None:
    connection.executemany("DELETE FROM manifests WHERE repository = ? AND digest = ?", gone)


def _drop_links(connection: Transaction, before: str, kept: Collection[str]) -> None:
    rows = connection.execute(f"SELECT repository, digest {_UNUSED_LINKS}", (before,)).fetchall()
    connection.executemany(
        "DELETE FROM links WHERE repository = ? AND digest = ?",
        [(repository, digest) for repository, digest in rows if digest not in kept],
    )


def _named(connection: Transaction) -> set[str]:
    query = "SELECT digest FROM links UNION SELECT digest FROM manifests"
    return {digest for (digest,) in connection.execute(query)}


async def _drop_blob(containers: Containers, digest: str, before: float) -> int | None:
    path = containers.blobs.path(digest)
    try:
        about = await asyncio.to_thread(path.stat)
    except FileNotFoundError:
        return None
    if about.st_mtime > before or digest in containers.told:
        return None
    await containers.blobs.delete(digest)
    return about.st_size
