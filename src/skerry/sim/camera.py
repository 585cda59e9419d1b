"""A module that plays pictures of a folder as messages: ``python -m skerry.sim.camera``."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import uvloop

from skerry.clock import Clock, SystemClock, iso
from skerry.contract.message import MESSAGE_BYTES_MAX, Message
from skerry.contract.method import MethodRequest, MethodResponse
from skerry.errors import InvalidInput, SkerryError, StorageFull, Unavailable
from skerry.protocol.claims import BODY_BYTES_MAX, ClaimStore, claim_message, read_claim_settings
from skerry.protocol.client import DeviceClient
from skerry.protocol.workload import module_client_from_environment
from skerry.service.lifecycle import run_until_signal
from skerry.service.log import configure
from skerry.sim.controls import Controls, change
from skerry.sim.progress import Progress
from skerry.sim.source import Frame, folder_frames

log = logging.getLogger(__name__)

Json = Any

OUTPUT = "image"

# Enough to hide the round trip to the edge hub; more would only be sent twice after a crash.
WINDOW = 4

# Progress is for people and tests that watch the twin; more often would be noise for the hub.
REPORT_EVERY_S = 3.0

# After a power cut the messages of this time go out once more; flash is written no more often.
KEEP_EVERY_S = 1.0

# Room for the properties of a message.
FRAME_BYTES_MAX = MESSAGE_BYTES_MAX - 4096

# A full disk is emptied by somebody else, or by the time to live of what fills it.
CLAIM_RETRY_S = 5.0

EXIT_SETTINGS = 78


class Camera:
    """Sends message n with picture n of the folder (counted round and round), until told otherwise.

    ``acknowledged`` messages are durable in the edge hub. Same number, same picture, also after a restart.
    """

    def __init__(
        self,
        client: DeviceClient,
        frames: Sequence[Frame],
        *,
        clock: Clock,
        controls: Controls | None = None,
        progress: Progress | None = None,
        report_every_s: float = REPORT_EVERY_S,
        claims: ClaimStore | None = None,
    ) -> None:
        self.controls = controls or Controls()
        self._defaults = self.controls
        self._client = client
        self._frames = [(frame, _body(frame, claims)) for frame in frames]
        self._claims = claims
        self._clock = clock
        self._progress = progress or Progress()
        self._report_every_s = report_every_s
        self._window = asyncio.Semaphore(WINDOW)
        self._changed = asyncio.Event()
        self._to_report: dict[str, Json] = {}
        self._sending: set[asyncio.Task[None]] = set()
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def sent(self) -> int:
        """The number of the last message that was handed to the edge hub, acknowledged or not."""
        return self._progress.sent

    @property
    def acknowledged(self) -> int:
        """All messages up to this number are acknowledged."""
        return self._progress.acknowledged

    async def start(self) -> None:
        """Connect, for ever, and play; returns at once."""
        self._client.on_desired = self.on_desired
        self._client.on_method = self.on_method
        await self._client.start()
        works = (self._play(), self._keep_progress(), self._keep_reporting())
        self._tasks = [asyncio.create_task(work) for work in works]

    async def close(self) -> None:
        """Stop playing and leave; what is not acknowledged goes out again after the next start."""
        for task in self._tasks:
            task.cancel()
        await self._client.stop()
        await asyncio.gather(*self._tasks, *self._sending, return_exceptions=True)
        self._progress.keep()

    async def on_desired(self, patch: Mapping[str, Json], version: int) -> None:
        """Apply ``framesPerSecond``, ``count``, ``enabled``, ``loop``."""
        self.controls, reported = change(self.controls, self._defaults, patch, version)
        log.info("controls: %s", self.controls)
        self._to_report.update(reported)
        self._changed.set()

    async def on_method(self, request: MethodRequest) -> MethodResponse:
        """``send {"count": n}``: n more; ``status``. Both answer with the status."""
        match request.name.lower():
            case "status":
                return MethodResponse(200, self.status())
            case "send":
                return self._send_more(request.payload)
        return MethodResponse(404, {"message": f"no method {request.name}; there are send, status"})

    def status(self) -> dict[str, Json]:
        """Counts so far and what is being played."""
        return {
            "sent": self.sent,
            "acknowledged": self.acknowledged,
            "target": self.controls.count,
            "enabled": self.controls.enabled,
            "frames": len(self._frames),
            **({} if self._claims is None else {"claimsEvicted": self._claims.evicted}),
        }

    def _send_more(self, payload: Json) -> MethodResponse:
        count = payload.get("count") if isinstance(payload, dict) else None
        if not isinstance(count, int) or isinstance(count, bool) or count < 1:
            return MethodResponse(400, {"message": 'send {"count": n} with a whole number n from 1 on'})
        unfinished = self.controls.count if self.controls.enabled and self.controls.count is not None else 0
        self.controls = replace(self.controls, enabled=True, count=max(unfinished, self.sent) + count)
        self._changed.set()
        return MethodResponse(200, self.status())

    async def _play(self) -> None:
        due = self._clock.monotonic()
        while True:
            if self._progress.sent >= self.controls.limit(len(self._frames)):
                self._changed.clear()
                await self._changed.wait()
                due = self._clock.monotonic()
                continue
            await self._window.acquire()
            number = self._progress.take()
            # Here and not in the task: a large picture's way to the disk must not let the next overtake it.
            message = await self._outgoing(number)
            task = asyncio.create_task(self._send(number, message))
            self._sending.add(task)
            task.add_done_callback(self._sending.discard)
            # After a stall go on at the rate asked for, without a burst to catch up.
            due = max(due + self.controls.interval_s, self._clock.monotonic() - self.controls.interval_s)
            wait_s = due - self._clock.monotonic()
            if wait_s > 0:
                await self._wait_or_change(wait_s)

    async def _wait_or_change(self, wait_s: float) -> None:
        """Wait for the next picture's time, or until the controls change."""
        self._changed.clear()
        waits = [
            asyncio.ensure_future(self._clock.sleep(wait_s)),
            asyncio.ensure_future(self._changed.wait()),
        ]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    async def _outgoing(self, number: int) -> Message:
        message = self._message(number)
        if self._claims is not None and len(message.body) > FRAME_BYTES_MAX:
            return await self._claimed(message, self._claims)
        return message

    async def _send(self, number: int, message: Message) -> None:
        try:
            await self._client.send(message, OUTPUT)
        except Unavailable:
            log.debug("message %d is not acknowledged: the camera stopped", number)
        else:
            self._progress.acknowledge(number)
        finally:
            self._window.release()

    def _message(self, number: int) -> Message:
        frame, body = self._frames[(number - 1) % len(self._frames)]
        properties = {"frame": frame.name, "sequence": str(number)}
        if frame.truth is not None:
            properties["truth"] = frame.truth
        system = {
            "messageId": f"{self._client.identity.client_id}/{number}",
            "contentType": frame.content_type,
            "creationTime": iso(self._clock.now()),
        }
        return Message(body, properties, system)

    async def _claimed(self, message: Message, claims: ClaimStore) -> Message:
        """A reference to the message's body, kept until there is room for it."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                return claim_message(message, await loop.run_in_executor(None, claims.put, message.body))
            except (StorageFull, Unavailable) as exc:
                log.warning("%s", exc)
                await self._clock.sleep(CLAIM_RETRY_S)

    async def _keep_progress(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._clock.sleep(KEEP_EVERY_S)
            await loop.run_in_executor(None, self._progress.keep)

    async def _keep_reporting(self) -> None:
        told: Json = None
        while True:
            pending, self._to_report = self._to_report, {}
            if (status := self.status()) != told:
                pending["camera"] = status
            if pending:
                try:
                    await self._client.report(pending)
                    told = status
                except InvalidInput as exc:
                    log.warning("the hub refuses these reported properties: %s", exc)
                    told = status
                except SkerryError as exc:
                    log.info("not reported yet: %s", exc)
                    self._to_report = {**pending, **self._to_report}
            await self._clock.sleep(self._report_every_s)


def _body(frame: Frame, claims: ClaimStore | None) -> bytes:
    body = frame.read()
    if len(body) > (FRAME_BYTES_MAX if claims is None else BODY_BYTES_MAX):
        raise InvalidInput(
            f"{frame.name} has {len(body)} bytes, a message holds {FRAME_BYTES_MAX}",
            hint="make the picture smaller, or share a folder with the receiver: SKERRY_CLAIMS_DIR",
            frame=frame.name,
        )
    return body


def controls_of(environ: Mapping[str, str]) -> Controls:
    """The controls until the twin says otherwise: SKERRY_FRAMES_PER_SECOND (1), SKERRY_COUNT (no end)."""
    rate, count = environ.get("SKERRY_FRAMES_PER_SECOND", "1"), environ.get("SKERRY_COUNT", "")
    try:
        return Controls(frames_per_second=float(rate), count=int(count) if count else None)
    except ValueError as exc:
        raise InvalidInput(f"SKERRY_FRAMES_PER_SECOND={rate}, SKERRY_COUNT={count}: not numbers") from exc


async def play(environ: Mapping[str, str], stopping: asyncio.Event, *, clock: Clock) -> None:
    """Be the camera module of this environment until ``stopping`` is set.

    SKERRY_FRAMES_DIR (default /opt/skerry/frames) has the pictures; SKERRY_STATE_DIR, if set, keeps
    the numbering. Raises what ``folder_frames``, ``Progress`` and the module environment raise.
    """
    frames = folder_frames(Path(environ.get("SKERRY_FRAMES_DIR") or "/opt/skerry/frames"))
    state = environ.get("SKERRY_STATE_DIR")
    progress = Progress(Path(state, "acknowledged") if state else None)
    client = module_client_from_environment(environ, clock)
    shared = read_claim_settings(environ)
    claims = None if shared is None else ClaimStore(shared, clock)
    controls = controls_of(environ)
    camera = Camera(client, frames, clock=clock, controls=controls, progress=progress, claims=claims)
    await camera.start()
    log.info("playing %d pictures", len(frames))
    try:
        await stopping.wait()
    finally:
        await camera.close()


def main(environ: Mapping[str, str] = os.environ) -> int:
    """Play until SIGTERM; 0 then, or 78 after one line on standard error when the settings are wrong."""

    async def until(stopping: asyncio.Event) -> None:
        await play(environ, stopping, clock=SystemClock())

    try:
        configure(environ.get("SKERRY_LOG_LEVEL") or "info")
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(run_until_signal(until))
    except SkerryError as exc:
        sys.stderr.write(f"skerry camera: {' '.join(str(exc).split())}\n")
        return EXIT_SETTINGS
    return 0


if __name__ == "__main__":
    sys.exit(main())
