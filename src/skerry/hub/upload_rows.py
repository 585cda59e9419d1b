"""Uploads, their blobs and staged blocks as rows; everything here runs inside a transaction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from skerry.contract.file_upload import BlobName
from skerry.contract.names import DeviceId
from skerry.errors import InvalidInput, NotFound
from skerry.store.storage import Transaction

_BLOB_COLUMNS = "name, correlation, digest, bytes, md5, content_type, etag, modified"


@dataclass(frozen=True, slots=True)
class Upload:
    """A device's right to write one blob until ``expires`` (ISO, UTC); ``signature`` is a digest."""

    correlation: str
    blob: BlobName
    host: str
    signature: str
    expires: str


@dataclass(frozen=True, slots=True)
class Blob:
    """A file that is there: ``digest`` names its content, ``md5`` is base64, ``modified`` ISO in UTC."""

    name: str
    correlation: str
    digest: str
    size: int
    md5: str
    content_type: str
    etag: str
    modified: str


def insert(connection: Transaction, upload: Upload) -> None:
    """Remember a new upload."""
    connection.execute(
        "INSERT INTO uploads (correlation, device, blob, host, signature, expires) VALUES (?, ?, ?, ?, ?, ?)",
        (
            upload.correlation,
            str(upload.blob.device),
            upload.blob.name,
            upload.host,
            upload.signature,
            upload.expires,
        ),
    )


def open_count(connection: Transaction, device: DeviceId) -> int:
    """How many uploads of a device are under way."""
    (count,) = connection.execute("SELECT count(*) FROM uploads WHERE device = ?", (str(device),)).fetchone()
    return int(count)


def load(connection: Transaction, device: DeviceId, correlation: str) -> Upload:
    """An upload that is under way; raises NotFound."""
    sql = "SELECT correlation, device, blob, host, signature, expires FROM uploads WHERE correlation = ?"
    row = connection.execute(sql, (correlation,)).fetchone()
    if row is None or row[1] != str(device):
        raise NotFound(
            "there is no such upload",
            hint="it was notified before, or its time is over",
            field="correlationId",
        )
    return _upload(row)


def by_blob(connection: Transaction, blob: BlobName) -> list[Upload]:
    """The uploads under way to a blob."""
    sql = (
        "SELECT correlation, device, blob, host, signature, expires FROM uploads"
        " WHERE blob = ? AND device = ?"
    )
    return [_upload(row) for row in connection.execute(sql, (blob.name, str(blob.device)))]


def end(connection: Transaction, correlation: str) -> None:
    """An upload is over; blocks that were never committed go."""
    connection.execute("DELETE FROM uploads WHERE correlation = ?", (correlation,))


def drop_expired(connection: Transaction, now: str) -> int:
    """End the uploads past their time; how many."""
    return connection.execute("DELETE FROM uploads WHERE expires <= ?", (now,)).rowcount


def save_blob(connection: Transaction, blob: Blob) -> None:
    """Put a blob, over an older one of its name; the upload must still be under way (NotFound)."""
    known = connection.execute("SELECT 1 FROM uploads WHERE correlation = ?", (blob.correlation,))
    if known.fetchone() is None:
        raise NotFound("the upload is over", hint="ask for a new one")
    values = (
        blob.name,
        blob.correlation,
        blob.digest,
        blob.size,
        blob.md5,
        blob.content_type,
        blob.etag,
        blob.modified,
    )
    connection.execute(
        f"INSERT OR REPLACE INTO blobs ({_BLOB_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)", values
    )
    connection.execute("DELETE FROM blocks WHERE correlation = ?", (blob.correlation,))


def find_blob(connection: Transaction, name: str) -> Blob | None:
    """A blob by its whole name."""
    row = connection.execute(f"SELECT {_BLOB_COLUMNS} FROM blobs WHERE name = ?", (name,)).fetchone()
    return None if row is None else Blob(*row)


def blobs(connection: Transaction, device: str | None, after: str, limit: int) -> list[Blob]:
    """Blobs by name after ``after``, of one device or all."""
    sql = f"SELECT {_BLOB_COLUMNS} FROM blobs WHERE name > ? AND name < ? ORDER BY name LIMIT ?"
    # "0" is the character after "/".
    first, last = ("", "\U0010ffff") if device is None else (f"{device}/", f"{device}0")
    return [Blob(*row) for row in connection.execute(sql, (max(after, first), last, limit))]


def delete_blob(connection: Transaction, name: str) -> bool:
    """Whether there was one to delete."""
    return connection.execute("DELETE FROM blobs WHERE name = ?", (name,)).rowcount > 0


def save_block(connection: Transaction, correlation: str, block: str, digest: str, size: int) -> None:
    """Stage a part of a blob, over an older one of its id."""
    connection.execute(
        "INSERT OR REPLACE INTO blocks VALUES (?, ?, ?, ?)", (correlation, block, digest, size)
    )


def block_count(connection: Transaction, correlation: str) -> int:
    """How many parts are staged."""
    sql = "SELECT count(*) FROM blocks WHERE correlation = ?"
    return int(connection.execute(sql, (correlation,)).fetchone()[0])


def blocks(connection: Transaction, correlation: str, wanted: Sequence[str]) -> list[str]:
    """The digests of these parts in this order; raises InvalidInput for one that is not staged."""
    sql = "SELECT block, digest FROM blocks WHERE correlation = ?"
    staged = dict(connection.execute(sql, (correlation,)).fetchall())
    missing = [block for block in wanted if block not in staged]
    if missing:
        raise InvalidInput(
            f"{len(missing)} blocks of the list were not uploaded",
            code_name="InvalidBlockList",
            field="block",
        )
    return [staged[block] for block in wanted]


def used_bytes(connection: Transaction) -> int:
    """What blobs and staged parts take up."""
    sql = "SELECT (SELECT coalesce(sum(bytes), 0) FROM blobs) + (SELECT coalesce(sum(bytes), 0) FROM blocks)"
    return int(connection.execute(sql).fetchone()[0])


def digests(connection: Transaction) -> set[str]:
    """Every content that something refers to."""
    return {
        digest for (digest,) in connection.execute("SELECT digest FROM blobs UNION SELECT digest FROM blocks")
    }


def refers(connection: Transaction, digest: str) -> bool:
    """Whether something refers to this content."""
    sql = (
        "SELECT EXISTS (SELECT 1 FROM blobs WHERE digest = ?1)"
        " OR EXISTS (SELECT 1 FROM blocks WHERE digest = ?1)"
    )
    return bool(connection.execute(sql, (digest,)).fetchone()[0])


def _upload(row: tuple[str, str, str, str, str, str]) -> Upload:
    correlation, device, blob, host, signature, expires = row
    return Upload(correlation, BlobName(DeviceId(device), blob), host, signature, expires)
