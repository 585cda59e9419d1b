"""Where a reader of events wants to begin."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skerry.clock import ManualClock, iso
from skerry.contract.message import Message
from skerry.contract.names import Identity
from skerry.errors import InvalidInput
from skerry.hub.amqp.selector import FILTER, Position, parse_selector
from skerry.hub.schema import TELEMETRY_MIGRATIONS
from skerry.hub.telemetry import Telemetry
from skerry.store.database import Database


@given(st.integers(0, 2**62), st.booleans())
def test_positions_are_read_as_clients_write_them(number: int, inclusive: bool) -> None:
    sign = ">=" if inclusive else ">"
    for name in ("offset", "sequence-number"):
        text = f"amqp.annotation.x-opt-{name} {sign} '{number}'"
        assert parse_selector({FILTER: text}) == Position("sequence", number, inclusive)
        assert parse_selector({FILTER: text.encode()}) == Position("sequence", number, inclusive)


def test_the_ends_of_the_log_have_names() -> None:
    assert parse_selector({}) == Position("sequence")
    assert parse_selector({FILTER: "amqp.annotation.x-opt-offset > '-1'"}) == Position("sequence")
    assert parse_selector({FILTER: "amqp.annotation.x-opt-offset > '@latest'"}) == Position("latest")


@given(st.text(max_size=60) | st.sampled_from(["amqp.annotation.x-opt-offset > 'x'", "x-opt-offset > '1'"]))
def test_what_is_not_understood_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        parse_selector({FILTER: text})


async def test_a_time_is_found_in_the_log_also_where_messages_were_dropped(tmp_path: Path) -> None:
    clock = ManualClock()
    database = await Database.open(tmp_path / "telemetry.db", TELEMETRY_MIGRATIONS)
    telemetry = Telemetry(database, clock)
    begin = clock.now()
    assert await telemetry.before_time(iso(begin)) == 0
    for _ in range(20):
        await telemetry.append(Identity.parse("dev"), Message(b"x"))
        clock.set(clock.now() + timedelta(seconds=1))
    times = [iso(begin + timedelta(seconds=n)) for n in range(21)]
    assert [await telemetry.before_time(time) for time in times] == list(range(21))
    await telemetry.trim(keep_days=1, keep_messages=5)
    assert [await telemetry.before_time(time) for time in times] == [15] * 16 + [16, 17, 18, 19, 20]
    milliseconds = int((begin.timestamp() + 17) * 1000)
    assert await Position("time", milliseconds, inclusive=True).resolve(telemetry) == 17
    assert await Position("time", milliseconds).resolve(telemetry) == 18
    await database.close()
