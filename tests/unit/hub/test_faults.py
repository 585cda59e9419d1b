"""Which messages ask for a fault, and how long after (contract §2.11)."""

from __future__ import annotations

import pytest

from skerry.contract.message import Message
from skerry.hub.faults import DELAY, DELAY_MAX_S, TYPE, requested_delay_s


@pytest.mark.parametrize("kind", ["KillTcp", "ShutDownMqtt"])
@pytest.mark.parametrize(
    ("delay", "seconds"),
    [
        (None, 0.0),
        ("", 0.0),
        ("0", 0.0),
        ("5", 5.0),
        ("0.5", 0.5),
        ("-1", 0.0),
        ("soon", 0.0),
        ("nan", 0.0),
        ("inf", DELAY_MAX_S),
        ("1e9", DELAY_MAX_S),
    ],
)
def test_a_fault_comes_after_the_delay_within_bounds(kind: str, delay: str | None, seconds: float) -> None:
    properties = {TYPE: kind} if delay is None else {TYPE: kind, DELAY: delay}
    assert requested_delay_s(Message(b"", properties)) == seconds


@pytest.mark.parametrize("kind", [None, "", "killtcp", "KillAmqpConnection", "BoomTelemetry"])
def test_other_messages_ask_for_none(kind: str | None) -> None:
    properties = {DELAY: "5"} if kind is None else {TYPE: kind, DELAY: "5"}
    assert requested_delay_s(Message(b"", properties)) is None
