"""The AMQP front with our own client; Microsoft's are in tests/system/sdk/check_amqp.py (contract §4.8)."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from skerry.amqp.events import Closed, Delivered, Detached
from skerry.amqp.message import Message as Sent
from skerry.amqp.performatives import RECEIVER, SENDER, Accepted, Rejected, Released
from skerry.amqp.types import Array, Int, Long, Uuid
from skerry.contract.credentials import ConnectionString, key_signer, make_token
from skerry.contract.message import Message
from skerry.hub.setup import connection_string
from tests.unit.hub.amqp_client import AmqpClient, Refused, amqp_client
from tests.unit.hub.running import RunningHub, connected, running_hub

PARTITION = "amqps://localhost/hub/ConsumerGroups/$Default/Partitions/0"


@pytest.fixture
async def hub(tmp_path: Path) -> AsyncIterator[RunningHub]:
    async with running_hub(tmp_path / "hub", amqp_port=0) as running:
        yield running


async def until(done: Any) -> None:
    async with asyncio.timeout(10):
        while not await done():
            await asyncio.sleep(0.01)


def into(got: list[Message]) -> Callable[[Message], Awaitable[None]]:
    async def keep(message: Message) -> None:
        got.append(message)

    return keep


async def waiting(hub: RunningHub, device: str = "dev") -> int:
    return int((await hub.raw("GET", f"/devices/{device}")).json()["cloudToDeviceMessageCount"])


async def test_a_token_is_answered_with_200_and_its_id_as_it_came(hub: RunningHub) -> None:
    async with amqp_client(hub, policy=None) as client:
        asked = {"operation": "put-token", "type": "azure-devices.net:sastoken", "name": "https://localhost"}
        for message_id in ("m-1", Uuid(bytes(range(16)))):
            token = hub.token("service", audience="https://localhost")
            answer = await client.request("$cbs", token, message_id, **asked)
            assert type(answer.properties.correlation_id) is type(message_id)
            assert answer.properties.correlation_id == message_id
            assert answer.application["status-code"] == 200


async def test_the_key_may_be_used_as_text(hub: RunningHub) -> None:
    """azure-eventhub does so (contract §1.2)."""
    key = ConnectionString.parse(connection_string(hub.data_dir, "service")).shared_access_key
    assert key is not None
    expiry = int(hub.clock.now().timestamp()) + 600
    as_text = key_signer(base64.b64encode(key.encode()).decode())
    token = make_token("sb://localhost/hub", as_text, expiry, "service")
    async with amqp_client(hub, policy=None) as client:
        assert await client.put_token(token) == 200


async def test_without_a_good_token_there_is_nothing(hub: RunningHub) -> None:
    async with amqp_client(hub, policy=None) as client:
        late = hub.token("service", lifetime_s=-100, audience="sb://localhost/hub")
        for token in ("", "nonsense", hub.token("service", audience="sb://elsewhere/hub"), late):
            assert await client.put_token(token) == 401
        assert await client.put_token(hub.token("service"), "jwt") == 401
        assert await client.put_token(hub.token("registryRead")) == 200
        for role, address in (
            (SENDER, "/messages/devicebound"),
            (RECEIVER, PARTITION),
            (SENDER, "$management"),
        ):
            with pytest.raises(Refused) as refused:
                await client.attach(role, address)
            assert refused.value.condition == "amqp:unauthorized-access"


async def test_unknown_nodes_are_not_found(hub: RunningHub) -> None:
    async with amqp_client(hub) as client:
        elsewhere = PARTITION.replace("Partitions/0", "Partitions/1")
        for role, address in ((SENDER, "/somewhere"), (RECEIVER, "/somewhere"), (RECEIVER, elsewhere)):
            with pytest.raises(Refused) as refused:
                await client.attach(role, address)
            assert refused.value.condition == "amqp:not-found"
        with pytest.raises(Refused) as refused:
            await client.attach(RECEIVER, PARTITION, selector="nonsense")
        assert refused.value.condition == "amqp:invalid-field"


async def test_a_command_reaches_a_connected_device(hub: RunningHub) -> None:
    device, got = hub.device(await hub.service.create_device("dev")), list[Message]()
    device.on_c2d = into(got)
    async with amqp_client(hub) as client:
        assert await client.command("dev", "waits", message_id="m-1", application={"k": Int(1)}) == Accepted()
        assert await waiting(hub) == 1
        async with connected(device):
            await client.command("dev", "comes", content_type="text/plain", user_id=b"me")

            async def done() -> bool:
                return len(got) == 2 and await waiting(hub) == 0

            await until(done)
    assert [message.body for message in got] == [b"waits", b"comes"]
    assert got[0].properties == {"k": "1"}
    assert got[0].system["to"] == "/devices/dev/messages/devicebound"
    assert got[1].system.items() >= {"contentType": "text/plain", "userId": "me"}.items()


async def test_a_command_without_puback_comes_again_after_a_reconnect(hub: RunningHub) -> None:
    document = await hub.service.create_device("dev")
    stuck, got = asyncio.Event(), list[Message]()

    async def never(message: Message) -> None:
        got.append(message)
        await stuck.wait()

    async def came() -> bool:
        return bool(got)

    async def done() -> bool:
        return len(got) == 2 and await waiting(hub) == 0

    first, second = hub.device(document), hub.device(document)
    first.on_c2d, second.on_c2d = never, into(got)
    async with amqp_client(hub) as client:
        async with connected(first):
            await client.command("dev", "again")
            await until(came)
            assert await waiting(hub) == 1
        async with connected(second):
            await until(done)
    assert [message.body for message in got] == [b"again", b"again"]


async def test_a_command_that_cannot_be_queued_is_rejected_with_the_reason(hub: RunningHub) -> None:
    await hub.service.create_device("dev")
    async with amqp_client(hub) as client:
        for device, ack, condition in (
            ("nobody", "none", "amqp:not-found"),
            ("a b", "none", "amqp:invalid-field"),
            ("dev", "perhaps", "amqp:invalid-field"),
        ):
            outcome = await client.command(device, ack=ack)
            assert isinstance(outcome, Rejected)
            assert outcome.error.value[0] == condition
        outcome = await client.command("dev", "x" * 66_000)
        assert isinstance(outcome, Rejected)
        assert outcome.error.value[0] == "amqp:link:message-size-exceeded"


async def test_feedback_comes_until_it_is_accepted(hub: RunningHub) -> None:
    await hub.service.create_device("dev")
    async with amqp_client(hub) as client:
        reader = await client.attach(RECEIVER, "/messages/serviceBound/feedback")
        await client.command("dev", ack="full", message_id="m-1")
        assert (await hub.raw("DELETE", "/devices/dev/commands")).json()["totalMessagesPurged"] == 1
        for outcome in (Released(), Accepted()):
            message = await client.receive(reader, outcome)
            assert message.properties.content_type == "application/vnd.microsoft.iothub.feedback.json"
            (record,) = json.loads(message.body)
            assert record.items() >= {"originalMessageId": "m-1", "statusCode": "Purged"}.items()

        async def gone() -> bool:
            return (await hub.raw("GET", "/messages/serviceBound/feedback")).status_code == 204

        await until(gone)


async def sent(hub: RunningHub, *bodies: bytes) -> None:
    """Telemetry of ``dev``."""
    async with connected(hub.device(await hub.service.create_device("dev"))) as device:
        for body in bodies:
            await device.send(
                Message(body, {"k": "v", "none": None}, {"messageId": "m", "contentType": "a/b"})
            )


async def test_events_carry_who_when_and_what(hub: RunningHub) -> None:
    await sent(hub, b"body")
    generation = (await hub.raw("GET", "/devices/dev")).json()["generationId"]
    async with amqp_client(hub) as client:
        message = await client.receive(await client.attach(RECEIVER, PARTITION))
    assert message.body == b"body"
    assert (message.properties.message_id, message.properties.content_type) == ("m", "a/b")
    assert message.application == {"k": "v", "none": None}
    enqueued = message.annotations.pop("x-opt-enqueued-time")
    assert abs(enqueued / 1000 - hub.clock.now().timestamp()) < 60
    assert message.annotations == {
        "x-opt-sequence-number": Long(1),
        "x-opt-offset": "1",
        "iothub-connection-device-id": "dev",
        "iothub-connection-auth-generation-id": generation,
        "iothub-enqueuedtime": enqueued,
        "iothub-message-source": "Telemetry",
    }


async def test_a_reader_begins_where_it_says(hub: RunningHub) -> None:
    await sent(hub, *(b"%d" % n for n in range(1, 6)))
    past = round((hub.clock.now() - timedelta(hours=1)).timestamp() * 1000)
    future = round((hub.clock.now() + timedelta(hours=1)).timestamp() * 1000)
    at = "amqp.annotation.x-opt-"
    async with amqp_client(hub) as client:
        for selector, first in (
            (f"{at}offset > '-1'", b"1"),
            (f"{at}offset > '3'", b"4"),
            (f"{at}sequence-number >= '3'", b"3"),
            (f"{at}enqueued-time > '{past}'", b"1"),
            (None, b"1"),
        ):
            reader = await client.attach(RECEIVER, PARTITION, selector=selector)
            assert (await client.receive(reader)).body == first
            client.wire.connection.detach(reader)
        late = [
            await client.attach(RECEIVER, PARTITION.replace("hub/", f"{n}/"), selector=selector)
            for n, selector in enumerate((f"{at}offset > '@latest'", f"{at}enqueued-time > '{future}'"))
        ]
        await asyncio.sleep(0.1)
        assert not [event for event in client.happened if isinstance(event, Delivered) and event.link in late]


async def test_management_knows_the_one_partition(hub: RunningHub) -> None:
    async def read(client: AmqpClient, kind: str, **more: str) -> Sent:
        asked = {"operation": "READ", "type": f"com.microsoft:{kind}", "name": "hub", **more}
        return await client.request("$management", b"", **asked)

    async with amqp_client(hub) as client:
        found = (await read(client, "eventhub")).body
        assert (found["name"], found["partition_ids"]) == ("hub", Array(("0",)))
        assert (await read(client, "partition", partition="0")).body["is_partition_empty"] is True
        await sent(hub, b"1", b"2")
        found = (await read(client, "partition", partition="0")).body
        assert (found["begin_sequence_number"], found["last_enqueued_sequence_number"]) == (1, 2)
        assert (found["last_enqueued_offset"], found["is_partition_empty"]) == ("2", False)
        assert (await read(client, "partition", partition="1")).application["status-code"] == 404
        assert (await read(client, "nonsense")).application["status-code"] == 400


async def test_a_reader_with_a_higher_epoch_takes_the_partition_over(hub: RunningHub) -> None:
    async with amqp_client(hub) as client:
        old = await client.attach(RECEIVER, PARTITION, properties={"com.microsoft:epoch": Long(1)})
        await client.attach(RECEIVER, f"{PARTITION}/", properties={"com.microsoft:epoch": Long(2)})
        ended = await client.until(Detached, old)
        assert ended.error.condition == "amqp:link:stolen"
        with pytest.raises(Refused):
            await client.attach(RECEIVER, PARTITION, properties={"com.microsoft:epoch": Long(1)})


async def test_a_hub_that_stops_says_goodbye(tmp_path: Path) -> None:
    async with running_hub(tmp_path / "hub", amqp_port=0) as hub:
        client = AmqpClient()
        await client.open(hub)
    closed = await client.until(Closed)
    assert "amqp:connection:forced" in closed.reason
