"""A closed-loop HTTP load: each connection posts its next picture when the last one is answered."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter

HEAD = b"POST /score HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n"


@dataclass(frozen=True)
class Answers:
    """What came back; latencies in seconds, sorted."""

    latencies: Sequence[float]
    seconds: float
    cpu_seconds: float

    @property
    def rate(self) -> float:
        """Requests per second."""
        return len(self.latencies) / self.seconds

    def percentile_ms(self, percent: float) -> float:
        return self.latencies[min(int(len(self.latencies) * percent / 100), len(self.latencies) - 1)] * 1000


async def post_all(port: int, bodies: Sequence[bytes], connections: int, requests: int) -> Answers:
    """``requests`` pictures over ``connections`` connections. RuntimeError for any answer but 200."""
    latencies: list[float] = []
    left = iter(range(requests))
    cpu, started = time.process_time(), perf_counter()
    await asyncio.gather(*(_connection(port, bodies, left, latencies) for _ in range(connections)))
    seconds = perf_counter() - started
    return Answers(sorted(latencies), seconds, time.process_time() - cpu)


async def answered(port: int, body: bytes, headers: Mapping[str, str]) -> bool:
    """Whether a post to ``/score`` gets a 200 now."""
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    try:
        named = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        head = f"POST /score HTTP/1.1\r\nHost: localhost\r\n{named}Content-Length: {len(body)}\r\n\r\n"
        writer.write(head.encode() + body)
        return b" 200 " in await reader.readline()
    except OSError:
        return False
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def post(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, body: bytes) -> bytes:
    """One answer's body."""
    writer.write(HEAD % len(body) + body)
    lines = (await reader.readuntil(b"\r\n\r\n")).lower().split(b"\r\n")
    length = next(int(line.partition(b":")[2]) for line in lines if line.startswith(b"content-length:"))
    answer = await reader.readexactly(length)
    if b" 200 " not in lines[0]:
        raise RuntimeError(f"{lines[0].decode()}: {answer.decode()[:200]}")
    return answer


async def _connection(
    port: int, bodies: Sequence[bytes], left: Iterator[int], latencies: list[float]
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        for number in left:
            started = perf_counter()
            await post(reader, writer, bodies[number % len(bodies)])
            latencies.append(perf_counter() - started)
    finally:
        writer.close()
        await writer.wait_closed()
