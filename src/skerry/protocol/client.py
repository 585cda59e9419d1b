"""The device's or module's end of the IoT Hub dialect: connected for ever, whatever the network does."""

from __future__ import annotations

import asyncio
import itertools
import logging
import random
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from skerry.clock import Clock
from skerry.contract.json_text import compact, parse_json
from skerry.contract.message import Message, decode_bag, encode_bag
from skerry.contract.method import MethodRequest, MethodResponse
from skerry.contract.names import Identity
from skerry.contract.topics import (
    C2D,
    DESIRED_FILTER,
    METHODS_FILTER,
    TWIN_REPLY_FILTER,
    DesiredPatch,
    Input,
    MethodCall,
    TwinReply,
    c2d_filter,
    inputs_filter,
    method_reply_topic,
    parse_server_topic,
    render_username,
    reported_patch_topic,
    telemetry_topic,
    twin_get_topic,
)
from skerry.errors import InvalidInput, SkerryError
from skerry.mqtt.client import Client
from skerry.mqtt.outcome import Outcome
from skerry.mqtt.packets import Connect, Publish
from skerry.mqtt.window import WAITING_MAX

from .desired import Change, DesiredFollower
from .endpoint import Backoff, Endpoint
from .outbox import Outbox, check_size
from .requests import Answer, Requests
from .tokens import TokenSource, renew_in_s

__all__ = ["Backoff", "DeviceClient", "Endpoint"]

log = logging.getLogger(__name__)

KEEP_ALIVE_S = 60
# On renewal of the token, messages in flight get this long to be acknowledged, so that few are sent twice.
DRAIN_S = 5.0
# Without a token there is nothing to renew; asyncio takes no infinite sleep.
FOR_EVER_S = 1e9
# On stop, handlers that still run get this long.
STOP_GRACE_S = 2.0

OnInput = Callable[[str, Message], Awaitable[None]]
OnMethod = Callable[[MethodRequest], Awaitable[MethodResponse]]
OnDesired = Callable[[dict[str, Any], int], Awaitable[None]]
OnC2D = Callable[[Message], Awaitable[None]]


class DeviceClient:
    """One identity's connection to a hub, kept up from ``start`` to ``stop``.

    Set the handlers before ``start``. ``on_input`` and ``on_c2d``: the hub keeps the message until they
    return. ``on_desired`` is called one at a time, in order, with each change of the desired properties, and
    first with all of them. An error in a handler is logged and counted in ``handler_errors``; it never ends
    the connection.
    """

    def __init__(
        self,
        identity: Identity,
        host: str,
        endpoint: Endpoint | Callable[[], Awaitable[Endpoint]],
        credentials: TokenSource,
        *,
        clock: Clock,
        user_agent: str = "skerry",
        in_flight_max: int = 100,
        backoff: Backoff | None = None,
        keep_alive_s: int = KEEP_ALIVE_S,
        roll: Callable[[], float] = random.random,
    ) -> None:
        if not 1 <= in_flight_max <= WAITING_MAX:
            raise InvalidInput(f"in_flight_max is 1 to {WAITING_MAX}", value=in_flight_max)
        self.identity = identity
        self.on_input: OnInput | None = None
        self.on_method: OnMethod | None = None
        self.on_desired: OnDesired | None = None
        self.on_c2d: OnC2D | None = None
        self.on_connection_changed: Callable[[bool], None] | None = None
        self.handler_errors = 0
        self.last_error: SkerryError | None = None
        self._host = host
        self._endpoint = endpoint
        self._credentials = credentials
        self._clock = clock
        self._user_agent = user_agent
        self._in_flight_max = in_flight_max
        self._backoff = backoff or Backoff()
        self._keep_alive_s = keep_alive_s
        self._roll = roll
        self._outbox = Outbox(in_flight_max)
        self._requests = Requests()
        self._desired = DesiredFollower()
        self._desired_turn = asyncio.Lock()
        self._link: Client | None = None
        self._up = asyncio.Event()
        self._runner: asyncio.Task[None] | None = None
        self._lingering: dict[Client, asyncio.Task[None]] = {}

    @property
    def connected(self) -> bool:
        """Whether the hub has accepted us and the link has not ended."""
        return self._link is not None

    @property
    def in_flight(self) -> int:
        """Messages of ``send`` without a PUBACK."""
        return len(self._outbox)

    async def wait_connected(self) -> None:
        """Return as soon as the client is connected."""
        await self._up.wait()

    async def start(self) -> None:
        """Begin to connect, for ever; returns at once."""
        if self._runner is None:
            self._runner = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Disconnect; whoever waits for a PUBACK or an answer gets Unavailable."""
        reason = f"the client of {self.identity} was stopped"
        self._outbox.stop(reason)
        self._requests.stop(reason)
        if self._runner is not None:
            self._runner.cancel()
            await asyncio.wait([self._runner])
            self._runner = None
        if self._lingering:
            _, late = await asyncio.wait(list(self._lingering.values()), timeout=STOP_GRACE_S)
            if late:
                for link in list(self._lingering):
                    link.abort()
                await asyncio.wait(late)

    async def send(self, message: Message, output: str | None = None) -> None:
        """Return when the hub has the message (PUBACK), over any number of reconnects.

        Unacknowledged messages are sent again in order, so the hub may see one twice. Waits while
        ``in_flight_max`` are under way. TooLarge over 256 KiB; Unavailable when the client is stopped.
        """
        if output is not None:
            # The output comes first in the bag, as Python's SDK has it (contract.md §2.1).
            message = Message(message.body, message.properties, {"outputName": output, **message.system})
        bag = encode_bag(message)
        check_size(len(message.body) + len(bag))
        await self._outbox.send(telemetry_topic(self.identity, bag), message.body)

    def forward(self, bag: bytes, body: bytes) -> Outcome:
        """``Outbox.post`` of properties that are encoded already. TooLarge over 256 KiB."""
        check_size(len(body) + len(bag))
        return self._outbox.post(telemetry_topic(self.identity, "").encode() + bag, body)

    async def twin(self) -> dict[str, Any]:
        """The twin, ``{"desired": {…, "$version"}, "reported": {…, "$version"}}``; waits for a connection."""
        answer = await self._requests.ask(twin_get_topic, b" ")
        document = parse_json(answer.body)
        if not isinstance(document, dict):
            raise InvalidInput("the hub sent a twin that is no object")
        return document

    async def report(self, patch: Mapping[str, Any]) -> int | None:
        """Merge ``patch`` into the reported properties; their new version. Waits for a connection.

        InvalidInput when the hub finds the patch illegal.
        """
        answer = await self._requests.ask(reported_patch_topic, compact(dict(patch)).encode())
        return answer.version

    # Staying connected.

    async def _run(self) -> None:
        attempt = 0
        try:
            while True:
                began = self._clock.monotonic()
                renewed = False
                try:
                    renewed = await self._connected_once()
                except SkerryError as exc:
                    self._complain(exc)
                except Exception:
                    # A mistake of ours must not leave a device in the field offline for good.
                    log.exception("%s failed to connect for a reason of our own", self.identity)
                if renewed or self._clock.monotonic() - began > self._backoff.max_s:
                    attempt = 0
                if not renewed:
                    await self._clock.sleep(self._backoff.delay_s(attempt, self._roll()))
                    attempt += 1
        finally:
            if self._link is not None:
                self._leave(self._link)

    async def _connected_once(self) -> bool:
        """Connect and stay so; True when we left to renew the token, False when the link was lost."""
        endpoint = self._endpoint if isinstance(self._endpoint, Endpoint) else await self._endpoint()
        token = await self._credentials.token(self.identity.resource(self._host))
        link = await Client.open(
            endpoint.connect_host,
            endpoint.port,
            endpoint.tls,
            Connect(
                self.identity.client_id,
                clean_session=False,
                keep_alive_s=self._keep_alive_s,
                username=render_username(self._host, self.identity, self._user_agent),
                password=None if token is None else token.encode(),
            ),
            self._on_publish,
            clock=self._clock,
            server_hostname=endpoint.server_hostname,
            in_flight_max=self._in_flight_max,
        )
        self._enter(link)
        setting_up = asyncio.create_task(self._set_up(link))
        try:
            return await self._until_over(link, renew_in_s(token, self._clock))
        finally:
            setting_up.cancel()
            self._leave(link)

    async def _until_over(self, link: Client, renew_s: float | None) -> bool:
        alarm = asyncio.ensure_future(self._clock.sleep(FOR_EVER_S if renew_s is None else renew_s))
        link.closed.add_done_callback(lambda _: alarm.cancel())
        try:
            await asyncio.wait([alarm])
        finally:
            alarm.cancel()
        if link.closed.done():
            log.info("%s lost the hub: %s", self.identity, link.closed.result())
            return False
        log.info("%s reconnects with a new token", self.identity)
        self._outbox.detach()
        await link.drain(DRAIN_S)
        return True

    def _enter(self, link: Client) -> None:
        self._link = link
        self.last_error = None
        log.info("%s connected to %s", self.identity, self._host)
        self._up.set()
        self._outbox.attach(lambda topic, payload, dup: link.publish(topic, payload, 1, dup))
        self._tell(connected=True)

    def _leave(self, link: Client) -> None:
        if self._link is not link:
            return
        self._link = None
        self._up.clear()
        self._outbox.detach()
        self._requests.detach()
        link.leave()
        task = asyncio.ensure_future(link.settled())
        self._lingering[link] = task
        task.add_done_callback(lambda _: self._lingering.pop(link, None))
        self._tell(connected=False)

    def _tell(self, *, connected: bool) -> None:
        try:
            if self.on_connection_changed is not None:
                self.on_connection_changed(connected)
        except Exception:
            self.handler_errors += 1
            log.exception("on_connection_changed of %s failed", self.identity)

    async def _set_up(self, link: Client) -> None:
        """Subscribe on each connection: the hub may have lost what it kept; then ask what has to be asked."""
        try:
            wanted = [(name, 1) for name in self._filters()]
            codes = await link.subscribe(wanted)
        except SkerryError as exc:
            log.debug("%s could not subscribe: %s", self.identity, exc)
            return
        refused = [name for (name, _), code in zip(wanted, codes, strict=False) if code > 1]
        if refused:
            log.warning("the hub refused %s to %s", ", ".join(refused), self.identity)
        self._requests.attach(lambda topic, payload: link.publish(topic, payload))
        if self.on_desired is not None:
            self._desired.await_twin()
            await self._sync_desired()

    def _filters(self) -> list[str]:
        filters = [TWIN_REPLY_FILTER]
        if self.on_method is not None:
            filters.append(METHODS_FILTER)
        if self.on_desired is not None:
            filters.append(DESIRED_FILTER)
        if self.on_input is not None and self.identity.module is not None:
            filters.append(inputs_filter(self.identity))
        if self.on_c2d is not None and self.identity.module is None:
            filters.append(c2d_filter(self.identity.device))
        return filters

    def _complain(self, error: SkerryError) -> None:
        """Warn once per cause: a device may be offline for weeks."""
        level = (
            logging.WARNING
            if self.last_error is None or str(self.last_error) != str(error)
            else logging.DEBUG
        )
        self.last_error = error
        log.log(level, "%s cannot connect: %s", self.identity, error)

    # What arrives. What these return is awaited before the PUBACK.

    def _on_publish(self, packet: Publish) -> Awaitable[None] | None:
        try:
            return self._dispatch(packet)
        except SkerryError as exc:
            log.warning("%s ignores what came on %s: %s", self.identity, packet.topic[:200], exc)
            return None

    def _dispatch(self, packet: Publish) -> Awaitable[None] | None:
        match parse_server_topic(packet.topic):
            case TwinReply(status, rid, version):
                self._requests.answered(rid, Answer(status, version, packet.payload))
                return None
            case Input(name, bag) if self.on_input is not None:
                return self._guard(self.on_input, name, Message(packet.payload, *decode_bag(bag)))
            case C2D(bag) if self.on_c2d is not None:
                return self._guard(self.on_c2d, Message(packet.payload, *decode_bag(bag)))
            case MethodCall(name, rid):
                return self._answer(name, rid, packet.payload)
            case DesiredPatch(version) if self.on_desired is not None:
                return self._desired_changed(packet.payload, version)
            case Input() | C2D() | DesiredPatch():
                log.debug("%s has no handler for %s", self.identity, packet.topic[:200])
        return None

    async def _guard(self, handler: Callable[..., Awaitable[None]], *given: object) -> None:
        """Run a handler; its error is the program's: sending the message again would not help."""
        try:
            await handler(*given)
        except Exception:
            self.handler_errors += 1
            log.exception("a handler of %s failed", self.identity)

    async def _answer(self, name: str, rid: str, payload: bytes) -> None:
        response = MethodResponse(501, {"message": f"no method {name!r} here"})
        if self.on_method is not None:
            response = await self._run_method(self.on_method, name, payload)
        if self._link is not None:
            # Answering over a later link than the one asked over does no harm: the rid decides.
            payload = compact(response.payload).encode()
            await self._link.publish(method_reply_topic(response.status, rid), payload)

    async def _run_method(self, handler: OnMethod, name: str, payload: bytes) -> MethodResponse:
        try:
            return await handler(MethodRequest(name, parse_json(payload) if payload.strip() else None))
        except InvalidInput as exc:
            return MethodResponse(400, {"message": str(exc)})
        except Exception as exc:
            self.handler_errors += 1
            log.exception("the method %s of %s failed", name, self.identity)
            return MethodResponse(500, {"message": f"{type(exc).__name__}: {exc}"})

    def _desired_changed(self, payload: bytes, version: int) -> Awaitable[None] | None:
        patch = parse_json(payload)
        if not isinstance(patch, dict):
            raise InvalidInput("a desired patch is no object")
        changes = self._desired.notified(patch, version)
        return self._sync_desired() if changes is None else self._hand_on(changes)

    async def _sync_desired(self) -> None:
        """Ask for the twin until it is there; a lost link ends this, the next one begins it anew."""
        for attempt in itertools.count():
            try:
                desired = (await self.twin()).get("desired", {})
            except SkerryError as exc:
                log.warning("%s could not read its desired properties: %s", self.identity, exc)
            else:
                await self._hand_on(self._desired.twin(desired))
                return
            if self._link is None:
                return
            await self._clock.sleep(self._backoff.delay_s(attempt, self._roll()))

    async def _hand_on(self, changes: list[Change]) -> None:
        async with self._desired_turn:
            for patch, version in changes:
                if self.on_desired is not None:
                    await self._guard(self.on_desired, patch, version)
