"""One HTTP/1.1 request over a stream of its own, as the workload API needs (RFC 9112)."""

from __future__ import annotations

import asyncio

from skerry.errors import Unavailable

# A trust bundle with a few dozen roots; anything larger is not one.
ANSWER_BYTES_MAX = 1024 * 1024


async def exchange(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    method: str,
    target: str,
    host: str,
    body: bytes,
) -> tuple[int, bytes]:
    """Status and body of the answer; Unavailable when it is not HTTP. Closes the stream."""
    head = (
        f"{method} {target} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    try:
        writer.write(head.encode() + body)
        await writer.drain()
        return await _read_answer(reader)
    finally:
        writer.close()


async def _read_answer(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """Status and body of an HTTP/1.1 answer after which the connection closes (RFC 9112 §6)."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        status = int(lines[0].split(" ")[1])
        headers = {
            name.strip().lower(): value.strip()
            for name, _, value in (line.partition(":") for line in lines[1:])
        }
        if "chunked" in headers.get("transfer-encoding", "").lower():
            return status, await _read_chunks(reader)
        if "content-length" in headers:
            return status, await reader.readexactly(min(int(headers["content-length"]), ANSWER_BYTES_MAX))
        return status, await reader.read(ANSWER_BYTES_MAX)
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError, IndexError) as exc:
        raise Unavailable("the workload API did not answer in HTTP") from exc


async def _read_chunks(reader: asyncio.StreamReader) -> bytes:
    body = b""
    while True:
        size = int((await reader.readuntil(b"\r\n")).split(b";")[0], 16)
        if size == 0:
            return body
        if len(body) + size > ANSWER_BYTES_MAX:
            raise Unavailable("the workload API answered too much")
        body += (await reader.readexactly(size + 2))[:size]
