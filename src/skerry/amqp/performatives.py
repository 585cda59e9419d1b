"""The parts of AMQP's conversation: what two peers tell each other (OASIS AMQP 1.0 parts 2, 3 and 5)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from .composite import REQUIRED, Composite, from_fields, wire
from .fault import AmqpError
from .types import Array, Described, Symbol, UByte, UInt, ULong, UShort, Value

# Modes of settling (part 2 §2.8.2): a sender's wish.
UNSETTLED, SETTLED, MIXED = 0, 1, 2
# Roles (part 2 §2.8.1).
SENDER, RECEIVER = False, True


@dataclass(frozen=True, slots=True)
class Error(Composite):
    CODE: ClassVar[int] = 0x1D
    NAME: ClassVar[str] = "amqp:error:list"
    condition: str = wire(Symbol, REQUIRED)
    description: str | None = wire(str)
    info: dict[Value, Value] | None = wire(dict)


@dataclass(frozen=True, slots=True)
class Open(Composite):
    CODE: ClassVar[int] = 0x10
    NAME: ClassVar[str] = "amqp:open:list"
    container_id: str = wire(str, REQUIRED)
    hostname: str | None = wire(str)
    max_frame_size: int = wire(UInt, 2**32 - 1)
    channel_max: int = wire(UShort, 2**16 - 1)
    idle_time_out: int | None = wire(UInt)
    outgoing_locales: tuple[str, ...] = wire(Array, ())
    incoming_locales: tuple[str, ...] = wire(Array, ())
    offered_capabilities: tuple[str, ...] = wire(Array, ())
    desired_capabilities: tuple[str, ...] = wire(Array, ())
    properties: dict[Value, Value] | None = wire(dict)


@dataclass(frozen=True, slots=True)
class Begin(Composite):
    CODE: ClassVar[int] = 0x11
    NAME: ClassVar[str] = "amqp:begin:list"
    remote_channel: int | None = wire(UShort)
    next_outgoing_id: int = wire(UInt, 0)
    incoming_window: int = wire(UInt, 0)
    outgoing_window: int = wire(UInt, 0)
    handle_max: int = wire(UInt, 2**32 - 1)
    offered_capabilities: tuple[str, ...] = wire(Array, ())
    desired_capabilities: tuple[str, ...] = wire(Array, ())
    properties: dict[Value, Value] | None = wire(dict)


@dataclass(frozen=True, slots=True)
class Source(Composite):
    CODE: ClassVar[int] = 0x28
    NAME: ClassVar[str] = "amqp:source:list"
    address: Value = wire(object)
    durable: int | None = wire(UInt)
    expiry_policy: str | None = wire(Symbol)
    timeout: int | None = wire(UInt)
    dynamic: bool | None = wire(bool)
    dynamic_node_properties: dict[Value, Value] | None = wire(dict)
    distribution_mode: str | None = wire(Symbol)
    filter: dict[Value, Value] | None = wire(dict)
    default_outcome: Value = wire(object)
    outcomes: tuple[str, ...] = wire(Array, ())
    capabilities: tuple[str, ...] = wire(Array, ())


@dataclass(frozen=True, slots=True)
class Target(Composite):
    CODE: ClassVar[int] = 0x29
    NAME: ClassVar[str] = "amqp:target:list"
    address: Value = wire(object)
    durable: int | None = wire(UInt)
    expiry_policy: str | None = wire(Symbol)
    timeout: int | None = wire(UInt)
    dynamic: bool | None = wire(bool)
    dynamic_node_properties: dict[Value, Value] | None = wire(dict)
    capabilities: tuple[str, ...] = wire(Array, ())


@dataclass(frozen=True, slots=True)
class Attach(Composite):
    CODE: ClassVar[int] = 0x12
    NAME: ClassVar[str] = "amqp:attach:list"
    name: str = wire(str, REQUIRED)
    handle: int = wire(UInt, REQUIRED)
    role: bool = wire(bool, REQUIRED)
    snd_settle_mode: int = wire(UByte, MIXED)
    rcv_settle_mode: int = wire(UByte, 0)
    source: Value = wire(object)
    target: Value = wire(object)
    unsettled: dict[Value, Value] | None = wire(dict)
    incomplete_unsettled: bool | None = wire(bool)
    initial_delivery_count: int | None = wire(UInt)
    max_message_size: int | None = wire(ULong)
    offered_capabilities: tuple[str, ...] = wire(Array, ())
    desired_capabilities: tuple[str, ...] = wire(Array, ())
    properties: dict[Value, Value] | None = wire(dict)


@dataclass(frozen=True, slots=True)
class Flow(Composite):
    CODE: ClassVar[int] = 0x13
    NAME: ClassVar[str] = "amqp:flow:list"
    next_incoming_id: int | None = wire(UInt)
    incoming_window: int = wire(UInt, 0)
    next_outgoing_id: int = wire(UInt, 0)
    outgoing_window: int = wire(UInt, 0)
    handle: int | None = wire(UInt)
    delivery_count: int | None = wire(UInt)
    link_credit: int | None = wire(UInt)
    available: int | None = wire(UInt)
    drain: bool = wire(bool, False)
    echo: bool = wire(bool, False)
    properties: dict[Value, Value] | None = wire(dict)


@dataclass(frozen=True, slots=True)
class Transfer(Composite):
    CODE: ClassVar[int] = 0x14
    NAME: ClassVar[str] = "amqp:transfer:list"
    handle: int = wire(UInt, REQUIRED)
    delivery_id: int | None = wire(UInt)
    delivery_tag: bytes | None = wire(bytes)
    message_format: int | None = wire(UInt)
    settled: bool | None = wire(bool)
    more: bool = wire(bool, False)
    rcv_settle_mode: int | None = wire(UByte)
    state: Value = wire(object)
    resume: bool = wire(bool, False)
    aborted: bool = wire(bool, False)
    batchable: bool = wire(bool, False)


@dataclass(frozen=True, slots=True)
class Disposition(Composite):
    CODE: ClassVar[int] = 0x15
    NAME: ClassVar[str] = "amqp:disposition:list"
    role: bool = wire(bool, REQUIRED)
    first: int = wire(UInt, REQUIRED)
    last: int | None = wire(UInt)
    settled: bool = wire(bool, False)
    state: Value = wire(object)
    batchable: bool = wire(bool, False)


@dataclass(frozen=True, slots=True)
class Detach(Composite):
    CODE: ClassVar[int] = 0x16
    NAME: ClassVar[str] = "amqp:detach:list"
    handle: int = wire(UInt, REQUIRED)
    closed: bool = wire(bool, False)
    error: Value = wire(object)


@dataclass(frozen=True, slots=True)
class End(Composite):
    CODE: ClassVar[int] = 0x17
    NAME: ClassVar[str] = "amqp:end:list"
    error: Value = wire(object)


@dataclass(frozen=True, slots=True)
class Close(Composite):
    CODE: ClassVar[int] = 0x18
    NAME: ClassVar[str] = "amqp:close:list"
    error: Value = wire(object)


@dataclass(frozen=True, slots=True)
class SaslMechanisms(Composite):
    CODE: ClassVar[int] = 0x40
    NAME: ClassVar[str] = "amqp:sasl-mechanisms:list"
    mechanisms: tuple[str, ...] = wire(Array, REQUIRED)


@dataclass(frozen=True, slots=True)
class SaslInit(Composite):
    CODE: ClassVar[int] = 0x41
    NAME: ClassVar[str] = "amqp:sasl-init:list"
    mechanism: str = wire(Symbol, REQUIRED)
    initial_response: bytes | None = wire(bytes)
    hostname: str | None = wire(str)


@dataclass(frozen=True, slots=True)
class SaslOutcome(Composite):
    CODE: ClassVar[int] = 0x44
    NAME: ClassVar[str] = "amqp:sasl-outcome:list"
    code: int = wire(UByte, REQUIRED)
    additional_data: bytes | None = wire(bytes)


@dataclass(frozen=True, slots=True)
class Accepted(Composite):
    CODE: ClassVar[int] = 0x24
    NAME: ClassVar[str] = "amqp:accepted:list"


@dataclass(frozen=True, slots=True)
class Rejected(Composite):
    CODE: ClassVar[int] = 0x25
    NAME: ClassVar[str] = "amqp:rejected:list"
    error: Value = wire(object)


@dataclass(frozen=True, slots=True)
class Released(Composite):
    CODE: ClassVar[int] = 0x26
    NAME: ClassVar[str] = "amqp:released:list"


@dataclass(frozen=True, slots=True)
class Modified(Composite):
    CODE: ClassVar[int] = 0x27
    NAME: ClassVar[str] = "amqp:modified:list"
    delivery_failed: bool | None = wire(bool)
    undeliverable_here: bool | None = wire(bool)
    message_annotations: dict[Value, Value] | None = wire(dict)


Outcome = Accepted | Rejected | Released | Modified
Performative = Open | Begin | Attach | Flow | Transfer | Disposition | Detach | End | Close
SaslPart = SaslMechanisms | SaslInit | SaslOutcome
PERFORMATIVES: tuple[type[Composite], ...] = (
    *(Open, Begin, Attach, Flow, Transfer, Disposition, Detach, End, Close),
    *(SaslMechanisms, SaslInit, SaslOutcome),
)
OUTCOMES: tuple[type[Composite], ...] = (Accepted, Rejected, Released, Modified)


def known(value: Value, kinds: tuple[type[Composite], ...]) -> Any:
    """The one of ``kinds`` that a described list is; AmqpError when it is none."""
    if isinstance(value, Described):
        for kind in kinds:
            if value.descriptor in (kind.CODE, kind.NAME):
                return from_fields(kind, value.value)
    raise AmqpError("a frame holds nothing known here")


def outcome_of(state: Value) -> Outcome | None:
    """The final state of a delivery; None for an intermediate or unknown one, AmqpError for a broken one."""
    if not isinstance(state, Described):
        return None
    if not any(state.descriptor in (kind.CODE, kind.NAME) for kind in OUTCOMES):
        return None
    found: Outcome = known(state, OUTCOMES)
    return found
