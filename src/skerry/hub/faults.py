"""Faults that a device may ask for, to test how it comes back (contract §2.11)."""

from __future__ import annotations

from skerry.contract.message import Message

TYPE = "AzIoTHub_FaultOperationType"
REASON = "AzIoTHub_FaultOperationCloseReason"
DELAY = "AzIoTHub_FaultOperationDelayInSecs"
# What ends a connection over MQTT; kinds for other protocols are no business of this one.
DISCONNECTS = ("KillTcp", "ShutDownMqtt")
DELAY_MAX_S = 600.0


def requested_delay_s(message: Message) -> float | None:
    """After how many seconds the sender wants its connection dropped; ``None`` when it does not."""
    if message.properties.get(TYPE) not in DISCONNECTS:
        return None
    try:
        delay_s = float(message.properties.get(DELAY) or 0)
    except ValueError:
        return 0.0
    return min(delay_s, DELAY_MAX_S) if delay_s > 0 else 0.0
