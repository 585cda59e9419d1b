"""The ledger says exactly what arrived of what was sent, whatever the order."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from skerry.clock import ManualClock
from skerry.contract.chain import Link, digest
from skerry.contract.message import Message
from skerry.contract.names import Identity
from skerry.hub.account import Account
from skerry.hub.ledger import EPOCHS_MAX
from skerry.hub.schema import TELEMETRY_MIGRATIONS
from skerry.hub.telemetry import Telemetry
from skerry.store.database import Database
from tests.unit.hub.running import RunningHub, connected

CNN = Identity.parse("edge-1/cnn")


def after(numbers: Sequence[int]) -> Account:
    account = Account()
    for number in numbers:
        account = account.arrived(number)
    return account


@given(st.lists(st.integers(1, 40), max_size=120))
def test_the_account_is_exact_for_any_arrivals(numbers: list[int]) -> None:
    account = after(numbers)
    highest = max(numbers, default=0)
    assert account.highest == highest
    assert account.received == len(set(numbers))
    assert account.duplicates == len(numbers) - len(set(numbers))
    assert account.lost == highest - len(set(numbers))
    late = {n for i, n in enumerate(numbers) if n not in numbers[:i] and n < max(numbers[:i], default=0)}
    assert account.reordered == len(late)
    missing = {n for first, last in account.missing for n in range(first, last + 1)}
    assert missing == set(range(1, highest + 1)) - set(numbers)


def test_ever_more_gaps_are_given_up_but_counted() -> None:
    account = after(range(2, 10_000, 2))
    assert account.lost == 4999
    assert len(account.missing) < 4999


def chained(count: int) -> list[Link]:
    links, previous = [], "epoch"
    for number in range(1, count + 1):
        own = digest(previous, number, b"", b"%d" % number)
        links.append(Link(previous, own))
        previous = own
    return links


@given(st.permutations(range(1, 13)), st.sets(st.integers(1, 12)), st.sets(st.integers(1, 11), max_size=3))
def test_every_alteration_and_nothing_else_is_found(
    order: list[int], lost: set[int], altered: set[int]
) -> None:
    links = chained(12)
    account = Account()
    came = [number for number in order if number not in lost]
    for number in came:
        link = links[number - 1]
        account = account.arrived(number, Link(link.previous, "forged") if number in altered else link)
    pairs = {number for number in came if number + 1 in came}
    assert (account.altered, account.proven) == (len(pairs & altered), len(pairs - altered))
    if account.highest == 12:
        assert account.head == links[11].own


async def append(telemetry: Telemetry, number: int, epoch: str = "aa", sender: Identity = CNN) -> None:
    await telemetry.append(sender, Message(b"", {"skerry-seq": str(number), "skerry-epoch": epoch}))


async def test_the_account_outlives_the_log(tmp_path: Path) -> None:
    database = await Database.open(tmp_path / "telemetry.db", TELEMETRY_MIGRATIONS)
    try:
        telemetry = Telemetry(database, ManualClock())
        for number in (1, 2, 2, 5, 4):
            await append(telemetry, number)
        await telemetry.append(CNN, Message(b"", {"skerry-seq": "many", "skerry-epoch": "aa"}))
        await telemetry.append(CNN, Message(b"without"))
        await telemetry.trim(0.0, 0)
        await append(telemetry, 3)
        (entry,) = await telemetry.ledger.entries("edge-1")
        assert (entry.sender, entry.epoch) == (CNN, "aa")
        assert entry.account == Account(highest=5, received=5, duplicates=1, reordered=2)
        assert await telemetry.ledger.entries("edge-2") == []
    finally:
        await database.close()


async def test_a_sender_keeps_its_newest_epochs(tmp_path: Path) -> None:
    database = await Database.open(tmp_path / "telemetry.db", TELEMETRY_MIGRATIONS)
    try:
        telemetry = Telemetry(database, ManualClock())
        for epoch in range(EPOCHS_MAX + 5):
            await append(telemetry, 1, f"{epoch:02}")
        entries = await telemetry.ledger.entries()
        assert [entry.epoch for entry in entries] == [f"{n:02}" for n in range(5, EPOCHS_MAX + 5)]
    finally:
        await database.close()


async def test_services_read_it_and_devices_do_not(hub: RunningHub) -> None:
    async with connected(hub.device(await hub.service.create_device("dev"))) as device:
        for number in (1, 3, 3):
            await device.send(Message(b"", {"skerry-seq": str(number), "skerry-epoch": "aa"}))
    assert await hub.service.ledger("dev") == [
        {
            "deviceId": "dev",
            "epoch": "aa",
            "sent": 3,
            "received": 2,
            "duplicates": 1,
            "reordered": 0,
            "lost": 1,
            "proven": 0,
            "altered": 0,
            "head": None,
            "missing": [[2, 2]],
        }
    ]
    assert (await hub.raw("GET", "/ledger", "")).status_code == 401
