"""A file from a web server into a file here, in pieces, going on where it broke off."""

from __future__ import annotations

import asyncio
import hashlib
import http.client
import ipaddress
import logging
import re
import socket
import ssl
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO
from urllib.parse import SplitResult, urljoin, urlsplit

from skerry.clock import Clock
from skerry.errors import InvalidInput, NotAllowed, NotFound, SkerryError, TooLarge, Unavailable
from skerry.serve.update.disk import disk_error, disk_errors
from skerry.serve.update.settings import Fetching
from skerry.serve.update.wish import shown

log = logging.getLogger(__name__)

REDIRECTS_MAX = 3
BLOCK = 64 * 1024
REDIRECT = (301, 302, 303, 307, 308)
# Statuses after which asking again later makes sense (RFC 9110 §15.5.9, §15.6; RFC 6585 §4).
LATER = (408, 425, 429)
# The address no longer serves or never did; the usual end of a signed one.
REFUSED = (401, 403)
GONE = (404, 410)


class Downloader:
    """Downloads one file at a time; cancelling a download leaves what came, to be gone on with."""

    def __init__(self, fetching: Fetching, clock: Clock) -> None:
        self._fetching = fetching
        self._clock = clock
        self.received = 0
        """Bytes of the current file so far."""

    async def fetch(self, url: str, part: Path) -> bool:
        """Bring the file at ``url`` to ``part``; True when it went on with a part from before.

        Raises NotAllowed or NotFound when the server says no for good, TooLarge above the bound, Unavailable
        when it broke off or later may help: ``part`` then keeps what came.
        """
        for _ in range(REDIRECTS_MAX + 1):
            found = await self._fetch_once(url, part)
            if isinstance(found, bool):
                return found
            if url.startswith("https:") and not found.startswith("https:"):
                raise NotAllowed(f"{shown(url)} leads from https to {shown(found)}")
            url = found
        raise Unavailable(f"{shown(url)} leads on more than {REDIRECTS_MAX} times")

    async def _fetch_once(self, url: str, part: Path) -> bool | str:
        """What ``fetch`` returns, or the address to ask instead."""
        loop = asyncio.get_running_loop()
        tag_file = part.with_suffix(".etag")
        begin = _size(part)
        exchange = await loop.run_in_executor(None, _ask, url, self._fetching, begin, _tag(tag_file))
        try:
            answer = exchange.answer
            if answer.status in REDIRECT:
                return urljoin(url, answer.getheader("location") or "")
            if answer.status == 416 and begin:
                # Nothing after what is here: the file is complete, or another one. Its digest will tell.
                self.received = begin
                return True
            begin = _check_status(url, answer, begin)
            expected = _length(answer, begin)
            _check_size(expected, self._fetching.bytes_max)
            with disk_errors("the download"):
                tag_file.write_text(answer.getheader("etag") or "", "latin-1")
                stream = part.open("ab" if begin else "wb")
            with stream:
                await self._receive(url, answer, stream, begin)
        finally:
            exchange.close()
        if expected is not None and self.received < expected:
            raise Unavailable(f"{shown(url)} broke off after {self.received} of {expected} bytes")
        return begin > 0

    async def _receive(
        self, url: str, answer: http.client.HTTPResponse, stream: IO[bytes], begin: int
    ) -> None:
        loop, started = asyncio.get_running_loop(), self._clock.monotonic()
        self.received = begin
        while block := await loop.run_in_executor(None, _read, url, answer):
            self.received += len(block)
            _check_size(self.received, self._fetching.bytes_max)
            with disk_errors("the download"):
                await loop.run_in_executor(None, stream.write, block)
            if self._fetching.bytes_per_s:
                due = started + (self.received - begin) / self._fetching.bytes_per_s
                ahead = due - self._clock.monotonic()
                if ahead > 0:
                    await self._clock.sleep(ahead)


@dataclass(frozen=True, slots=True)
class _Exchange:
    connection: http.client.HTTPConnection
    answer: http.client.HTTPResponse

    def close(self) -> None:
        self.answer.close()
        self.connection.close()


def verify_archive(archive: Path, digest: str | None, md5: bytes | None) -> str | None:
    """Why the file is not the one wanted; None when it is. Blocks."""
    for wanted, algorithm in ((digest, "sha256"), (f"md5:{md5.hex()}" if md5 else None, "md5")):
        if wanted is None:
            continue
        with disk_errors("the download"), archive.open("rb") as stream:
            found = hashlib.file_digest(
                stream, partial(hashlib.new, algorithm, usedforsecurity=False)
            ).hexdigest()
        if f"{algorithm}:{found}" != wanted:
            return f"the archive is {algorithm}:{found}, not {wanted}"
    return None


def _ask(url: str, fetching: Fetching, begin: int, tag: str) -> _Exchange:
    """Connect and send the request. Blocks."""
    parts = urlsplit(url)
    try:
        connection = _connection(parts, fetching)
    except (ValueError, http.client.InvalidURL) as exc:
        raise InvalidInput("url is not an http or https address", field="url") from exc
    headers = {"Accept-Encoding": "identity", "User-Agent": "skerry"}
    if begin:
        headers["Range"] = f"bytes={begin}-"
        if tag and not tag.startswith("W/"):
            headers["If-Range"] = tag
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    try:
        connection.request("GET", path, headers=headers)
        return _Exchange(connection, connection.getresponse())
    except (OSError, http.client.HTTPException) as exc:
        connection.close()
        raise _network(url, exc) from exc
    except BaseException:
        connection.close()
        raise


def _connection(parts: SplitResult, fetching: Fetching) -> http.client.HTTPConnection:
    # Without a port http.client takes the end of an IPv6 address for one.
    host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    if parts.scheme == "https":
        context = ssl.create_default_context(cafile=str(fetching.ca_file) if fetching.ca_file else None)
        return http.client.HTTPSConnection(host, port, timeout=fetching.timeout_s, context=context)
    if parts.scheme != "http":
        raise InvalidInput("url is not an http or https address", field="url")
    if fetching.http_anywhere:
        return http.client.HTTPConnection(host, port, timeout=fetching.timeout_s)
    return _NearConnection(host, port, timeout=fetching.timeout_s)


class _NearConnection(http.client.HTTPConnection):
    """Connects to this machine and private networks only; decided on the address it then really uses."""

    def connect(self) -> None:
        found = socket.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM)
        near = [str(each[4][0]) for each in found if _is_near(str(each[4][0]))]
        if not near:
            raise NotAllowed(
                f"plain http to {self.host} is not allowed: it is outside the private networks",
                hint="use https, or set SKERRY_UPDATE_HTTP=anywhere",
            )
        self.sock = socket.create_connection((near[0], self.port), self.timeout)


def _is_near(address: str) -> bool:
    ip = ipaddress.ip_address(address.partition("%")[0])
    return ip.is_private or ip.is_loopback


def _read(url: str, answer: http.client.HTTPResponse) -> bytes:
    try:
        return answer.read1(BLOCK)
    except (OSError, http.client.HTTPException, ValueError) as exc:
        raise _network(url, exc) from exc


def _network(url: str, exc: Exception) -> SkerryError:
    if isinstance(exc, ssl.SSLCertVerificationError):
        return NotAllowed(f"{shown(url)} does not prove who it is: {exc.verify_message}")
    return Unavailable(f"{shown(url)} cannot be read: {exc or type(exc).__name__}")


def _check_status(url: str, answer: http.client.HTTPResponse, begin: int) -> int:
    """At which byte the answer's body begins."""
    status = answer.status
    if status == 200:
        return 0
    if status == 206:
        match = re.match(r"bytes (\d+)-", answer.getheader("content-range") or "")
        if begin and match and int(match[1]) == begin:
            return begin
        raise Unavailable(f"{shown(url)} sent another part than was asked for")
    if status in REFUSED:
        raise NotAllowed(
            f"{shown(url)} answers {status} {answer.reason}", hint="its signature may have expired"
        )
    if status in GONE:
        raise NotFound(f"{shown(url)} answers {status} {answer.reason}")
    if status in LATER or status >= 500:
        raise Unavailable(f"{shown(url)} answers {status} {answer.reason}")
    raise InvalidInput(f"{shown(url)} answers {status} {answer.reason}", field="url")


def _length(answer: http.client.HTTPResponse, begin: int) -> int | None:
    text = answer.getheader("content-length") or ""
    return begin + int(text) if text.isdecimal() and text.isascii() and len(text) < 19 else None


def _check_size(size: int | None, bytes_max: int) -> None:
    if size is not None and size > bytes_max:
        raise TooLarge(f"the download is larger than {bytes_max} bytes", limit=bytes_max)


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _tag(path: Path) -> str:
    try:
        return path.read_text("latin-1")
    except FileNotFoundError:
        return ""
    except OSError as exc:
        raise disk_error("the download", exc) from exc
