"""Claim check: a body too large for a message waits in a folder that both ends share."""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import os
import re
import stat
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from skerry.clock import Clock
from skerry.contract.message import Message
from skerry.errors import Damaged, InvalidInput, NotFound, StorageFull, TooLarge, Unavailable

log = logging.getLogger(__name__)

# The application property that makes a message a reference; its value is the body's digest.
CLAIM = "skerry-claim"

# As long as a message waits by default (routes' time to live in the tutorial's manifest): a reference
# outlives its body only where somebody asked for longer.
TTL_S = 7200.0

# Some 500 full-size photographs; a device's disk has other work.
STORE_BYTES_MAX = 1024 * 1024 * 1024

# What the module's HTTP front takes in one request, too.
BODY_BYTES_MAX = 32 * 1024 * 1024

# A file that is being written has this suffix; one this old was left by a crash.
PARTIAL = ".part"
PARTIAL_S = 600.0

_DIGEST = re.compile(r"sha256:([0-9a-f]{64})")


@dataclass(frozen=True, slots=True)
class ClaimSettings:
    """Where bodies wait, for how long, and how many bytes of them."""

    directory: Path
    ttl_s: float = TTL_S
    bytes_max: int = STORE_BYTES_MAX


def read_claim_settings(environ: Mapping[str, str]) -> ClaimSettings | None:
    """SKERRY_CLAIMS_DIR with SKERRY_CLAIMS_TTL_S and SKERRY_CLAIMS_MB; None without the folder.

    Raises InvalidInput naming the variable.
    """
    directory = environ.get("SKERRY_CLAIMS_DIR", "").strip()
    if not directory:
        return None
    ttl_s = _whole(environ, "SKERRY_CLAIMS_TTL_S", int(TTL_S))
    megabytes = _whole(environ, "SKERRY_CLAIMS_MB", STORE_BYTES_MAX >> 20)
    return ClaimSettings(Path(directory), float(ttl_s), megabytes << 20)


class ClaimStore:
    """Bodies by their digest, each for a time to live, together below a bound; all methods block.

    One process puts, any number get. The oldest go when the bound is reached: ``evicted`` counts them.
    """

    def __init__(self, settings: ClaimSettings, clock: Clock) -> None:
        self.evicted = 0
        self.expired = 0
        self._directory = settings.directory
        self._ttl_s = settings.ttl_s
        self._bytes_max = settings.bytes_max
        self._clock = clock

    def put(self, body: bytes) -> str:
        """Keep the body, durably, and return its digest. Putting it again begins its time anew.

        Raises TooLarge, StorageFull, Unavailable.
        """
        if len(body) > min(BODY_BYTES_MAX, self._bytes_max):
            raise TooLarge("the body is too large for the claim store", bytes=len(body))
        digest = hashlib.sha256(body).hexdigest()
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
            self._make_room(len(body))
            _write(self._directory, digest, body, self._clock.now().timestamp())
        except OSError as exc:
            kind = StorageFull if exc.errno in (errno.ENOSPC, errno.EDQUOT) else Unavailable
            raise kind(f"cannot keep a body in {self._directory}: {exc.strerror}") from exc
        return f"sha256:{digest}"

    def get(self, digest: str) -> bytes:
        """The body. Raises InvalidInput, NotFound (its time is over), Damaged."""
        match = _DIGEST.fullmatch(digest)
        if match is None:
            raise InvalidInput(f"{CLAIM} is not a digest", field=CLAIM, value=digest[:100])
        try:
            body = _read(self._directory / match[1])
        except FileNotFoundError as exc:
            hint = "its time to live was over, or the store was full"
            raise NotFound(f"the body {digest} is not here any more", hint=hint) from exc
        except OSError as exc:
            raise Unavailable(f"cannot read the body {digest}: {exc.strerror}") from exc
        if hashlib.sha256(body).hexdigest() != match[1]:
            raise Damaged(f"the body {digest} is not what was put there")
        return body

    def _make_room(self, wanted: int) -> None:
        """Delete what is expired, then the oldest until ``wanted`` more bytes fit."""
        now = self._clock.now().timestamp()
        kept: list[tuple[float, int, Path]] = []
        for path, found in self._files():
            age_s = now - found.st_mtime
            if age_s > (PARTIAL_S if path.suffix == PARTIAL else self._ttl_s):
                path.unlink(missing_ok=True)
                self.expired += path.suffix != PARTIAL
            elif path.suffix != PARTIAL:
                kept.append((found.st_mtime, found.st_size, path))
        room = self._bytes_max - sum(size for _, size, _ in kept) - wanted
        for _, size, path in sorted(kept):
            if room >= 0:
                break
            path.unlink(missing_ok=True)
            room += size
            self.evicted += 1
            log.warning("the claim store is full: %s goes before its time", path.name)

    def _files(self) -> Iterator[tuple[Path, os.stat_result]]:
        for entry in os.scandir(self._directory):
            if entry.is_file(follow_symlinks=False):
                yield Path(entry.path), entry.stat(follow_symlinks=False)


def claim_message(message: Message, digest: str) -> Message:
    """The reference that travels instead of ``message``."""
    reference = {
        "digest": digest,
        "bytes": len(message.body),
        "contentType": message.system.get("contentType", ""),
    }
    system = {"contentType": "application/json", "contentEncoding": "utf-8"}
    body = json.dumps({"claim": reference}).encode()
    return Message(body, {**message.properties, CLAIM: digest}, {**message.system, **system})


def is_claim(message: Message) -> bool:
    """Whether the message is a reference to its body."""
    return CLAIM in message.properties


def redeemed(message: Message, store: ClaimStore | None) -> Message:
    """The message that the reference stands for. Blocks; raises as ``get``, InvalidInput without a store."""
    if store is None:
        raise InvalidInput(
            "this message is a reference, and there is no claim store here",
            hint="set SKERRY_CLAIMS_DIR to the folder that the sender's SKERRY_CLAIMS_DIR is",
        )
    body = store.get(message.properties[CLAIM] or "")
    system = {name: text for name, text in message.system.items() if name != "contentEncoding"}
    return Message(body, message.properties, {**system, "contentType": _type_of(message.body)})


def _type_of(reference: bytes) -> str:
    try:
        claim: Any = json.loads(reference)["claim"]
        return str(claim.get("contentType") or "")[:100]
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as exc:
        raise InvalidInput("the message's body is not a reference", field="claim") from exc


def _write(directory: Path, name: str, body: bytes, now: float) -> None:
    """All or nothing, on disk: the reference may survive a power cut."""
    handle, partial = tempfile.mkstemp(PARTIAL, dir=directory)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(body)
            file.flush()
            # Read by another module, which may be another user.
            os.fchmod(file.fileno(), 0o644)
            os.utime(file.fileno(), (now, now))
            os.fsync(file.fileno())
        Path(partial).rename(directory / name)
    except OSError:
        Path(partial).unlink(missing_ok=True)
        raise
    folder = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _read(path: Path) -> bytes:
    """A regular file's bytes; the folder is shared, so no link is followed and no pipe waited for."""
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(handle, "rb") as file:
        found = os.fstat(file.fileno())
        if not stat.S_ISREG(found.st_mode) or found.st_size > BODY_BYTES_MAX:
            raise Damaged(f"{path.name} is not a body of ours")
        return file.read(BODY_BYTES_MAX)


def _whole(environ: Mapping[str, str], name: str, default: int) -> int:
    text = environ.get(name, "").strip() or str(default)
    if not text.isdecimal() or not 1 <= int(text[:12]) < 10**9:
        raise InvalidInput(f"{name}={text[:50]} is not a whole number from 1 on", field=name, value=text[:50])
    return int(text)
