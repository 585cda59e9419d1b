"""The tutorial's process pipeline: pictures of a folder go to a module over HTTP, answers come back."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import httpx

from skerry.errors import InvalidInput, TimedOut, Unavailable
from skerry.sim.source import Frame

# The tutorial's load test had four users.
IN_FLIGHT = 4
TIMEOUT_S = 30.0
# A module that is just being started or is busy answers soon; more tries would hide a fault.
TRIES_MAX = 20
RETRY_S = 0.25


@dataclass(frozen=True, slots=True)
class Record:
    """One picture's answer."""

    frame: str
    truth: str | None
    label: str | None
    score: float | None
    predictions: tuple[tuple[str, str, float], ...]
    """(id, label, score), best first."""
    latency_ms: float
    """From sending to the answer, as the pipeline sees it, of the try that was answered."""
    tries: int = 1


async def run_pipeline(
    frames: Sequence[Frame], url: str, *, in_flight: int = IN_FLIGHT, client: httpx.AsyncClient | None = None
) -> list[Record]:
    """Send every frame to ``{url}/score`` as the tutorial does and return the answers, in frame order.

    A busy module (503) is asked again. Raises Unavailable when it cannot be reached, InvalidInput
    when it refuses a frame, TimedOut when it does not answer.
    """
    gate = asyncio.Semaphore(in_flight)
    async with client or httpx.AsyncClient(timeout=TIMEOUT_S, trust_env=False) as http:

        async def one(frame: Frame) -> Record:
            async with gate:
                return await _score(http, url.rstrip("/") + "/score", frame)

        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(one(frame)) for frame in frames]
        except ExceptionGroup as failed:
            raise failed.exceptions[0] from failed
    return [task.result() for task in tasks]


async def _score(http: httpx.AsyncClient, url: str, frame: Frame) -> Record:
    body = frame.read()
    for tries in range(1, TRIES_MAX + 1):
        begun = perf_counter()
        response = await _post(http, url, frame, body)
        took_ms = (perf_counter() - begun) * 1000
        if response.status_code == httpx.codes.OK:
            return _record(frame, response.json(), took_ms, tries)
        if response.status_code != httpx.codes.SERVICE_UNAVAILABLE:
            raise InvalidInput(
                f"{frame.name}: the module answered {response.status_code}: {response.text[:200]}",
                frame=frame.name,
                status=response.status_code,
            )
        await asyncio.sleep(RETRY_S)
    raise Unavailable(f"the module stayed busy for {TRIES_MAX} tries", frame=frame.name)


async def _post(http: httpx.AsyncClient, url: str, frame: Frame, body: bytes) -> httpx.Response:
    try:
        return await http.post(url, files={"image": (frame.name, body, frame.content_type)})
    except httpx.TimeoutException as exc:
        raise TimedOut(f"{url} did not answer", frame=frame.name) from exc
    except httpx.TransportError as exc:
        raise Unavailable(f"{url} cannot be reached: {exc}", hint="is the module running?") from exc


def _record(frame: Frame, document: Any, took_ms: float, tries: int) -> Record:
    try:
        found = tuple((str(i), str(label), float(score)) for i, label, score in document[0]["image"])
    except (KeyError, IndexError, TypeError, ValueError) as exc:
        raise InvalidInput(f"{frame.name}: the module's answer is not the tutorial's shape") from exc
    best = found[0] if found else None
    return Record(
        frame=frame.name,
        truth=frame.truth,
        label=best[1] if best else None,
        score=best[2] if best else None,
        predictions=found,
        latency_ms=took_ms,
        tries=tries,
    )
