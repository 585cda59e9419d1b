"""Our edge hub as a process of its own, a benchmark's contestant: ``python -m benchmarks.edge_hub_server``.

Arguments: DURABILITY (``durable``: the product; ``memory``: its protocol head and router without the store),
FOLDER, CERTIFICATES (a folder for the CA, or ``-`` for plain TCP). It prints its port and runs until SIGTERM.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import ssl
import sys
from collections.abc import Awaitable, Mapping, Sequence
from pathlib import Path
from typing import Any

from skerry.clock import Clock, SystemClock
from skerry.contract.credentials import Signer, key_signer
from skerry.contract.hub_desired import parse_hub_desired
from skerry.contract.message import Message
from skerry.contract.names import DeviceId, Identity, ModuleId
from skerry.contract.topics import ConnectName
from skerry.edge.daemon.server_certificate import ServerCertificate
from skerry.edge.hub.authority import Authority
from skerry.edge.hub.bags import Bags
from skerry.edge.hub.edge_hub import EdgeHub, Listening, Parent
from skerry.edge.hub.router import Router, RoutingTable, input_of
from skerry.edge.hub.sessions import Sessions
from skerry.edge.hub.twin_cache import CachedTwin
from skerry.mqtt.outcome import settled
from skerry.mqtt.server import serve
from skerry.protocol.device_session import DeviceSession
from skerry.protocol.head import Head
from skerry.service import certificates
from skerry.service.loop import serve_until_signal
from skerry.service.metrics import Metrics
from skerry.store.database import Database
from skerry.store.documents import DOCUMENTS, Documents
from skerry.store.queue import Queue

HUB = "hub.benchmark"
DEVICE = DeviceId("edge-1")
SOURCE, SINK, INPUT = ModuleId("source"), ModuleId("sink"), "in"
# The CNN module, and who sends it frames.
SERVED, FRAMES = ModuleId("cnn"), ModuleId("frames")
# More than any benchmark here stores.
QUEUE_BYTES_MAX = 16 * 1024**3
DESIRED = {
    "schemaVersion": "1.1",
    "routes": {
        "routed": f"FROM /messages/modules/{SOURCE}/* "
        f'INTO BrokeredEndpoint("/modules/{SINK}/inputs/{INPUT}")',
        "asked": f"FROM /messages/modules/{FRAMES}/* "
        f'INTO BrokeredEndpoint("/modules/{SERVED}/inputs/amlInput")',
        "answered": f"FROM /messages/modules/{SERVED}/outputs/* "
        f'INTO BrokeredEndpoint("/modules/{SINK}/inputs/{INPUT}")',
        # Devices of the many-devices load: stored for a hub that is out of reach.
        "stored": "FROM /messages/* WHERE kind = 'stored' INTO $upstream",
    },
    "storeAndForwardConfiguration": {"timeToLiveSecs": 7200},
}


def key_of(identity: Identity) -> str:
    """Every identity's key, the same here and in the load generator."""
    return base64.b64encode(hashlib.sha256(identity.client_id.encode()).digest()).decode()


def signer_of(identity: Identity) -> Signer:
    return key_signer(key_of(identity))


async def durable(folder: Path, tls: ssl.SSLContext | None, clock: Clock, stop: asyncio.Event) -> None:
    """The product's edge hub, upstream switched off."""
    database = await Database.open(folder / "edge.db", [DOCUMENTS])
    queue = await Queue.open(folder / "queue.db", bytes_max=QUEUE_BYTES_MAX, clock=clock)
    twin = CachedTwin(desired=DESIRED, desired_version=1, known=True)
    await Documents(database, "twins").put(f"{DEVICE}/$edgeHub", twin.to_json())
    hub = EdgeHub(
        Identity(DEVICE),
        Parent(HUB, None),
        ["localhost"],
        keys=lambda identity: [key_of(identity)],
        signer=signer_of,
        database=database,
        queue=queue,
        clock=clock,
        metrics=Metrics(),
    )
    await hub.load()
    await hub.start(Listening(("127.0.0.1",), 0, -1, tls))
    announce(hub.mqtt_port)
    await stop.wait()
    await hub.close()
    await queue.close()
    await database.close()


class MemoryBackend:
    """Routes at once to who listens, and forgets: what the head costs without the store."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._authority = Authority(lambda identity: [key_of(identity)], [HUB], clock)
        self._sessions = Sessions()
        self._router = Router(RoutingTable.of(parse_hub_desired(DESIRED)))
        self._bags = Bags()

    async def authenticate(
        self, name: ConnectName, password: str | None, certificates: Sequence[bytes]
    ) -> None:
        self._authority.check(name.identity, password)

    async def load_subscriptions(self, identity: Identity) -> Mapping[str, int]:
        return {}

    async def save_subscriptions(self, identity: Identity, subs: Mapping[str, int]) -> None: ...

    def telemetry(self, sender: Identity, message: Message) -> Awaitable[None]:
        for destination in self._router.destinations(sender, message):
            if (found := input_of(destination.endpoint)) is None:
                continue
            session = self._sessions.listening(Identity(DEVICE, ModuleId(found[0])), "inputs")
            if session is not None:
                # Acknowledged by the listener or not: nobody waits for that here.
                session.forward_input(found[1], self._bag(sender, message), message.body)
        return settled()

    def _bag(self, sender: Identity, message: Message) -> bytes:
        return self._bags.stamped(sender, message).local.partition(b"\n")[2]

    async def twin(self, identity: Identity) -> dict[str, Any]:
        return {}

    async def patch_reported(self, identity: Identity, patch: dict[str, Any]) -> int:
        return 1

    def attached(self, session: DeviceSession) -> None:
        self._sessions.attached(session)

    def detached(self, session: DeviceSession) -> None:
        self._sessions.detached(session)


async def memory(folder: Path, tls: ssl.SSLContext | None, clock: Clock, stop: asyncio.Event) -> None:
    """The head and the router alone."""
    listener = await serve(Head(MemoryBackend(clock), clock=clock), "127.0.0.1", 0, tls, clock=clock)
    announce(listener.port)
    await stop.wait()
    await listener.close()


def announce(port: int) -> None:
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()


def certificate(folder: Path, clock: Clock) -> ssl.SSLContext:
    authority = certificates.Authority.load(folder, clock)
    return ServerCertificate(authority, ["localhost"], clock).context


def main(durability: str, folder: Path, certificates_folder: str) -> None:
    clock = SystemClock()
    tls = None if certificates_folder == "-" else certificate(Path(certificates_folder), clock)
    serve_it = {"durable": durable, "memory": memory}[durability]
    serve_until_signal(lambda stop: serve_it(folder, tls, clock, stop))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3])
