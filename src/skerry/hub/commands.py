"""Cloud-to-device messages: queued per device until it says that it has them (contract §2.3)."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from skerry.clock import Clock, iso
from skerry.contract.message import Message, encode_bag
from skerry.contract.names import DeviceId, Identity
from skerry.errors import (
    InvalidInput,
    PreconditionFailed,
    SkerryError,
    StorageFull,
    Throttled,
    TooLarge,
)
from skerry.hub import command_rows as rows
from skerry.hub import identity_rows
from skerry.hub.command_rows import Ack, Command, Status
from skerry.hub.feedback import Feedback
from skerry.hub.fresh import fresh_lock
from skerry.hub.journal import Journal
from skerry.store.storage import Storage, Transaction

log = logging.getLogger(__name__)

# Azure's bounds and defaults (contract §2.3; field notes for the size).
QUEUE_MAX = 50
COMMAND_BYTES_MAX = 64 * 1024
TTL = timedelta(hours=1)
TTL_MAX = timedelta(days=2)
DELIVERIES_MAX = 10
# How long a device that fetched a command over HTTP may take to complete it.
LOCK_S = 60.0
SWEEP_EVERY_S = 10.0
ACKS: Mapping[str, Ack] = {"none": "none", "positive": "positive", "negative": "negative", "full": "full"}


@dataclass(frozen=True, slots=True)
class Hold:
    """Somebody works on a command; ``until`` (monotonic seconds) None: until it says so."""

    device: DeviceId
    lock: str
    until: float | None


class Commands:
    """The queues of one hub. Durable when a verb returns; who holds what is forgotten by a restart, and
    what was held is then delivered again."""

    def __init__(self, database: Storage, journal: Journal, clock: Clock) -> None:
        self._database = database
        self._journal = journal
        self._clock = clock
        self._held: dict[int, Hold] = {}
        self.on_queued: Callable[[DeviceId], None] | None = None
        self.feedback = Feedback(database, clock)

    async def send(self, device: DeviceId, message: Message) -> None:
        """Queue a message. ``ack`` and ``absolute-expiry-time`` (ISO) of its system properties count.

        Raises NotFound, Throttled (``code_name``: 50 wait already), TooLarge, InvalidInput.
        """
        if len(message.body) > COMMAND_BYTES_MAX:
            raise TooLarge(f"a command is over {COMMAND_BYTES_MAX} bytes", bytes=len(message.body))
        encode_bag(message)  # It has to fit the topic it will travel in.
        ack = _ack(message.system.get("ack", "none"))
        now = self._clock.now()
        expires = _expiry(message, now)
        named = message if message.system.get("messageId") else message.with_system(messageId=fresh_lock())

        def work(connection: Transaction) -> None:
            identity_rows.load(connection, Identity(device))
            if rows.count(connection, device) >= QUEUE_MAX:
                raise Throttled(
                    f"{QUEUE_MAX} commands wait for {device}",
                    hint="it is offline or does not listen; purge them or wait",
                    code_name="DeviceMaximumQueueDepthExceeded",
                )
            rows.insert(connection, device, named, ack, iso(now), iso(expires))

        await self.sweep()
        await self._database.write(work)
        log.info("queued a command for %s", device)
        self._queued(device)

    def count(self, device: DeviceId) -> int:
        """How many wait, those that are being delivered included."""
        return self._database.read_now(lambda connection: rows.count(connection, device))

    async def counts(self) -> Mapping[str, int]:
        """The same by device, of those that have any."""
        return await self._database.read(rows.counts)

    async def take(self, device: DeviceId, lock_s: float | None) -> tuple[str, Command] | None:
        """The next command with the lock to answer it by, held for ``lock_s`` seconds (None: until answered).

        ``None`` when nothing waits. One that was delivered ten times in vain is dropped.
        """
        while True:
            command = self._next(device)
            if command is None:
                return None
            # Held before the first wait, so that nobody else takes it.
            lock = fresh_lock()
            until = None if lock_s is None else self._clock.monotonic() + lock_s
            self._held[command.sequence] = Hold(device, lock, until)
            try:
                handed_out = await self._hand_out(command)
            except SkerryError:
                self._held.pop(command.sequence, None)
                raise
            if handed_out:
                return lock, command
            self._held.pop(command.sequence, None)

    async def complete(self, device: DeviceId, lock: str) -> None:
        """The device has it; PreconditionFailed when the lock was lost."""
        await self._end(device, lock, "Success")

    async def reject(self, device: DeviceId, lock: str) -> None:
        """The device does not want it; PreconditionFailed when the lock was lost."""
        await self._end(device, lock, "Rejected")

    def abandon(self, device: DeviceId, lock: str) -> None:
        """Not now: it will be delivered again. PreconditionFailed when the lock was lost."""
        del self._held[self._locked(device, lock)]
        self._queued(device)

    async def purge(self, device: DeviceId) -> int:
        """Drop everything that waits for a device; how much that was. Raises NotFound."""
        now = self._clock.now()

        def work(connection: Transaction) -> int:
            identity_rows.load(connection, Identity(device))
            waiting = rows.of_device(connection, device)
            self._journal.acted(connection, "commands.purge", str(device), detail=f"{len(waiting)} messages")
            return sum(rows.end(connection, one, "Purged", now) for one in waiting)

        purged = await self._database.write(work)
        self.feedback.arrived()
        log.info("purged %d commands of %s", purged, device)
        return purged

    async def sweep(self) -> int:
        """End what is past its time; how many commands that was."""
        self._lapse()
        now, held = self._clock.now(), frozenset(self._held)

        def work(connection: Transaction) -> int:
            rows.drop_old_feedback(connection, iso(now))
            return sum(
                rows.end(connection, one, "Expired", now) for one in rows.expired(connection, iso(now), held)
            )

        if not self._database.read_now(lambda connection: rows.any_old(connection, iso(now))):
            return 0
        ended = await self._database.write(work)
        if ended:
            self.feedback.arrived()
        return ended

    async def keep_swept(self) -> None:
        """Sweep every few seconds, for ever; a full disk is logged and tried again."""
        while True:
            await self._clock.sleep(SWEEP_EVERY_S)
            try:
                await self.sweep()
            except StorageFull as full:
                log.error("commands past their time could not be dropped: %s", full)

    def _next(self, device: DeviceId) -> Command | None:
        self._lapse()
        now, held = iso(self._clock.now()), frozenset(self._held)
        return self._database.read_now(lambda connection: rows.first(connection, device, held, now))

    async def _hand_out(self, command: Command) -> bool:
        """Count the delivery; False when there is none: the command ended, now or meanwhile."""
        now = self._clock.now()

        def work(connection: Transaction) -> bool:
            if command.deliveries < DELIVERIES_MAX:
                return rows.hand_out(connection, command.sequence)
            rows.end(connection, command.sequence, "DeliveryCountExceeded", now)
            return False

        handed_out = await self._database.write(work)
        if not handed_out:
            self.feedback.arrived()
        return handed_out

    async def _end(self, device: DeviceId, lock: str, status: Status) -> None:
        sequence, now = self._locked(device, lock), self._clock.now()
        await self._database.write(lambda connection: rows.end(connection, sequence, status, now))
        self._held.pop(sequence, None)
        self.feedback.arrived()

    def _locked(self, device: DeviceId, lock: str) -> int:
        self._lapse()
        for sequence, hold in self._held.items():
            if hold.device == device and hold.lock == lock:
                return sequence
        raise PreconditionFailed("the lock was lost", hint="fetch the message again", field="lockToken")

    def _lapse(self) -> None:
        now = self._clock.monotonic()
        late = [number for number, hold in self._held.items() if hold.until is not None and hold.until <= now]
        devices = {self._held.pop(number).device for number in late}
        for device in devices:
            self._queued(device)

    def _queued(self, device: DeviceId) -> None:
        if self.on_queued is not None:
            self.on_queued(device)


def _ack(text: str) -> Ack:
    if text.lower() not in ACKS:
        raise InvalidInput(
            f"ack is {text[:40]!r}", hint="none, positive, negative or full", field="ack", value=text[:40]
        )
    return ACKS[text.lower()]


def _expiry(message: Message, now: datetime) -> datetime:
    text = message.system.get("absolute-expiry-time")
    if not text:
        return now + TTL
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as exc:
        raise InvalidInput(
            f"the expiry is {text[:40]!r}", hint="an ISO time", field="absolute-expiry-time"
        ) from exc
    # A time without a zone is UTC, as in all of Azure's documents.
    aware = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    return min(aware, now + TTL_MAX)
