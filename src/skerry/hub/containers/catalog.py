"""Which repository has which blobs, manifests and tags."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from skerry.clock import Clock, iso
from skerry.hub.containers.refusals import manifest_unknown, name_unknown, part_unknown
from skerry.oci.digest import Digest
from skerry.oci.parts import Parts
from skerry.store.storage import Storage, Transaction


@dataclass(frozen=True, slots=True)
class Manifest:
    """A stored manifest; ``size`` in bytes."""

    repository: str
    digest: Digest
    media_type: str
    size: int
    artifact_type: str
    annotations: Mapping[str, str]


_COLUMNS = "repository, digest, media_type, size, artifact_type, annotations"


class Catalog:
    """Rows only; the bytes are ``Blobs``'. Changes are durable when a verb returns."""

    def __init__(self, database: Storage, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def blob_size(self, repository: str, digest: Digest) -> int | None:
        """The size of a blob of this repository, None when it has none such."""
        query = "SELECT size FROM links WHERE repository = ? AND digest = ?"
        found = self._database.read_now(lambda c: c.execute(query, (repository, digest)).fetchone())
        return None if found is None else int(found[0])

    def holder(self, digest: Digest) -> str | None:
        """A repository that has this blob."""
        query = "SELECT repository FROM links WHERE digest = ? LIMIT 1"
        found = self._database.read_now(lambda c: c.execute(query, (digest,)).fetchone())
        return None if found is None else str(found[0])

    async def link(self, repository: str, digest: Digest, size: int) -> None:
        """Let the repository have this blob."""
        row = (repository, digest, size, iso(self._clock.now()))
        await self._database.write(
            lambda c: c.execute("INSERT OR REPLACE INTO links VALUES (?, ?, ?, ?)", row).rowcount
        )

    async def unlink(self, repository: str, digest: Digest) -> bool:
        """Take a blob from a repository; False when a manifest there needs it."""

        def work(connection: Transaction) -> bool:
            needed = connection.execute(
                "SELECT 1 FROM parts WHERE repository = ? AND digest = ?", (repository, digest)
            ).fetchone()
            if needed is None:
                connection.execute(
                    "DELETE FROM links WHERE repository = ? AND digest = ?", (repository, digest)
                )
            return needed is None

        return await self._database.write(work)

    async def put(
        self, repository: str, digest: Digest, size: int, parts: Parts, tag: str | None, by: str
    ) -> None:
        """Record a manifest, whole or not at all. InvalidInput when it names what is not there."""
        now = iso(self._clock.now())

        def work(connection: Transaction) -> None:
            _require_parts(connection, repository, parts)
            connection.execute(
                "INSERT INTO manifests VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
                " ON CONFLICT DO UPDATE SET media_type = excluded.media_type, pushed = excluded.pushed,"
                " pushed_by = excluded.pushed_by",
                (
                    *(repository, digest, parts.media_type, parts.artifact_type),
                    *(json.dumps(dict(parts.annotations)), parts.subject, size, now, by),
                ),
            )
            named = {d.digest: d.size for d in (*parts.blobs, *(c.descriptor for c in parts.children))}
            connection.executemany(
                "INSERT OR IGNORE INTO parts VALUES (?, ?, ?, ?)",
                [(repository, digest, part, part_size) for part, part_size in named.items()],
            )
            if tag is not None:
                connection.execute("INSERT OR REPLACE INTO tags VALUES (?, ?, ?)", (repository, tag, digest))

        await self._database.write(work)

    def manifest(self, repository: str, reference: str) -> Manifest:
        """By digest or tag. NotFound."""
        query = f"SELECT {_COLUMNS} FROM manifests WHERE repository = ? AND digest = "
        by_tag = "(SELECT digest FROM tags WHERE repository = ? AND tag = ?)"

        def work(connection: Transaction) -> tuple[object, ...] | None:
            if ":" in reference:
                row = connection.execute(query + "?", (repository, reference)).fetchone()
            else:
                row = connection.execute(query + by_tag, (repository, repository, reference)).fetchone()
            return None if row is None else tuple(row)

        row = self._database.read_now(work)
        if row is None:
            raise manifest_unknown(reference, repository)
        return _manifest(row)

    async def delete(self, repository: str, reference: str) -> None:
        """Remove a tag, or by digest a manifest with its tags. NotFound."""
        table, column = ("manifests", "digest") if ":" in reference else ("tags", "tag")
        statement = f"DELETE FROM {table} WHERE repository = ? AND {column} = ?"
        gone = await self._database.write(lambda c: c.execute(statement, (repository, reference)).rowcount)
        if not gone:
            raise manifest_unknown(reference, repository)

    async def listing(self) -> list[dict[str, Any]]:
        """Every manifest with each of its tags (None for none); bytes are those of it and all it names."""
        query = """
            SELECT m.repository, t.tag, m.digest, m.artifact_type, m.pushed, m.pushed_by, m.size + (
                SELECT coalesce(sum(p.size), 0) FROM parts p
                WHERE p.repository = m.repository AND p.manifest = m.digest)
            FROM manifests m LEFT JOIN tags t ON t.repository = m.repository AND t.digest = m.digest
            ORDER BY m.repository, t.tag, m.pushed
        """
        names = ("repository", "tag", "digest", "type", "pushed", "pushedBy", "bytes")
        return await self._database.read(
            lambda c: [dict(zip(names, row, strict=True)) for row in c.execute(query)]
        )

    async def referrers(self, repository: str, subject: Digest) -> list[Manifest]:
        """The manifests attached to ``subject``, by digest."""
        query = f"SELECT {_COLUMNS} FROM manifests WHERE repository = ? AND subject = ? ORDER BY digest"
        rows = await self._database.read(lambda c: c.execute(query, (repository, subject)).fetchall())
        return [_manifest(row) for row in rows]

    async def tags(self, repository: str, after: str, count: int) -> list[str]:
        """Tags in byte order behind ``after``, at most ``count``. NotFound for an unknown repository."""
        query = "SELECT tag FROM tags WHERE repository = ? AND tag > ? ORDER BY tag LIMIT ?"
        known = "SELECT 1 FROM manifests WHERE repository = ? LIMIT 1"

        def work(connection: Transaction) -> list[str] | None:
            if connection.execute(known, (repository,)).fetchone() is None:
                return None
            return [tag for (tag,) in connection.execute(query, (repository, after, count))]

        found = await self._database.read(work)
        if found is None:
            raise name_unknown(repository)
        return found

    async def repositories(self, after: str, count: int) -> list[str]:
        """Repositories with anything in them, in byte order behind ``after``."""
        query = "SELECT DISTINCT repository FROM manifests WHERE repository > ? ORDER BY repository LIMIT ?"
        return await self._database.read(lambda c: [name for (name,) in c.execute(query, (after, count))])


def _require_parts(connection: Transaction, repository: str, parts: Parts) -> None:
    for table, wanted in (
        ("links", parts.blobs),
        ("manifests", tuple(child.descriptor for child in parts.children)),
    ):
        query = f"SELECT size FROM {table} WHERE repository = ? AND digest = ?"
        for part in wanted:
            row = connection.execute(query, (repository, part.digest)).fetchone()
            if row is None or row[0] != part.size:
                raise part_unknown(part.digest, repository)


def _manifest(row: tuple[object, ...]) -> Manifest:
    repository, digest, media_type, size, artifact_type, annotations = row
    return Manifest(
        str(repository),
        Digest(str(digest)),
        str(media_type),
        int(str(size)),
        str(artifact_type),
        json.loads(str(annotations)),
    )
