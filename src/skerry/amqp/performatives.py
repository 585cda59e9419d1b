"""The parts of AMQP's conversation: what two peers tell each other (OASIS AMQP 1.0 parts 2, 3 and 5)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from .composite import Composite, from_fields
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
    condition: Annotated[str, Symbol]
    description: Annotated[str | None, str] = None
    info: Annotated[dict[Value, Value] | None, dict] = None


@dataclass(frozen=True, slots=True)
class Open(Composite):
    CODE: ClassVar[int] = 0x10
    NAME: ClassVar[str] = "amqp:open:list"
    container_id: Annotated[str, str]
    hostname: Annotated[str | None, str] = None
    max_frame_size: Annotated[int, UInt] = 2**32 - 1
    channel_max: Annotated[int, UShort] = 2**16 - 1
    idle_time_out: Annotated[int | None, UInt] = None
    outgoing_locales: Annotated[tuple[str, ...], Array] = ()
    incoming_locales: Annotated[tuple[str, ...], Array] = ()
    offered_capabilities: Annotated[tuple[str, ...], Array] = ()
    desired_capabilities: Annotated[tuple[str, ...], Array] = ()
    properties: Annotated[dict[Value, Value] | None, dict] = None


@dataclass(frozen=True, slots=True)
class Begin(Composite):
    CODE: ClassVar[int] = 0x11
    NAME: ClassVar[str] = "amqp:begin:list"
    remote_channel: Annotated[int | None, UShort] = None
    next_outgoing_id: Annotated[int, UInt] = 0
    incoming_window: Annotated[int, UInt] = 0
    outgoing_window: Annotated[int, UInt] = 0
    handle_max: Annotated[int, UInt] = 2**32 - 1
    offered_capabilities: Annotated[tuple[str, ...], Array] = ()
    desired_capabilities: Annotated[tuple[str, ...], Array] = ()
    properties: Annotated[dict[Value, Value] | None, dict] = None


@dataclass(frozen=True, slots=True)
class Source(Composite):
    CODE: ClassVar[int] = 0x28
    NAME: ClassVar[str] = "amqp:source:list"
    address: Value = None
    durable: Annotated[int | None, UInt] = None
    expiry_policy: Annotated[str | None, Symbol] = None
    timeout: Annotated[int | None, UInt] = None
    dynamic: Annotated[bool | None, bool] = None
    dynamic_node_properties: Annotated[dict[Value, Value] | None, dict] = None
    distribution_mode: Annotated[str | None, Symbol] = None
    filter: Annotated[dict[Value, Value] | None, dict] = None
    default_outcome: Value = None
    outcomes: Annotated[tuple[str, ...], Array] = ()
    capabilities: Annotated[tuple[str, ...], Array] = ()


@dataclass(frozen=True, slots=True)
class Target(Composite):
    CODE: ClassVar[int] = 0x29
    NAME: ClassVar[str] = "amqp:target:list"
    address: Value = None
    durable: Annotated[int | None, UInt] = None
    expiry_policy: Annotated[str | None, Symbol] = None
    timeout: Annotated[int | None, UInt] = None
    dynamic: Annotated[bool | None, bool] = None
    dynamic_node_properties: Annotated[dict[Value, Value] | None, dict] = None
    capabilities: Annotated[tuple[str, ...], Array] = ()


@dataclass(frozen=True, slots=True)
class Attach(Composite):
    CODE: ClassVar[int] = 0x12
    NAME: ClassVar[str] = "amqp:attach:list"
    name: Annotated[str, str]
    handle: Annotated[int, UInt]
    role: Annotated[bool, bool]
    snd_settle_mode: Annotated[int, UByte] = MIXED
    rcv_settle_mode: Annotated[int, UByte] = 0
    source: Value = None
    target: Value = None
    unsettled: Annotated[dict[Value, Value] | None, dict] = None
    incomplete_unsettled: Annotated[bool | None, bool] = None
    initial_delivery_count: Annotated[int | None, UInt] = None
    max_message_size: Annotated[int | None, ULong] = None
    offered_capabilities: Annotated[tuple[str, ...], Array] = ()
    desired_capabilities: Annotated[tuple[str, ...], Array] = ()
    properties: Annotated[dict[Value, Value] | None, dict] = None


@dataclass(frozen=True, slots=True)
class Flow(Composite):
    CODE: ClassVar[int] = 0x13
    NAME: ClassVar[str] = "amqp:flow:list"
    next_incoming_id: Annotated[int | None, UInt] = None
    incoming_window: Annotated[int, UInt] = 0
    next_outgoing_id: Annotated[int, UInt] = 0
    outgoing_window: Annotated[int, UInt] = 0
    handle: Annotated[int | None, UInt] = None
    delivery_count: Annotated[int | None, UInt] = None
    link_credit: Annotated[int | None, UInt] = None
    available: Annotated[int | None, UInt] = None
    drain: Annotated[bool, bool] = False
    echo: Annotated[bool, bool] = False
    properties: Annotated[dict[Value, Value] | None, dict] = None


@dataclass(frozen=True, slots=True)
class Transfer(Composite):
    CODE: ClassVar[int] = 0x14
    NAME: ClassVar[str] = "amqp:transfer:list"
    handle: Annotated[int, UInt]
    delivery_id: Annotated[int | None, UInt] = None
    delivery_tag: Annotated[bytes | None, bytes] = None
    message_format: Annotated[int | None, UInt] = None
    settled: Annotated[bool | None, bool] = None
    more: Annotated[bool, bool] = False
    rcv_settle_mode: Annotated[int | None, UByte] = None
    state: Value = None
    resume: Annotated[bool, bool] = False
    aborted: Annotated[bool, bool] = False
    batchable: Annotated[bool, bool] = False


@dataclass(frozen=True, slots=True)
class Disposition(Composite):
    CODE: ClassVar[int] = 0x15
    NAME: ClassVar[str] = "amqp:disposition:list"
    role: Annotated[bool, bool]
    first: Annotated[int, UInt]
    last: Annotated[int | None, UInt] = None
    settled: Annotated[bool, bool] = False
    state: Value = None
    batchable: Annotated[bool, bool] = False


@dataclass(frozen=True, slots=True)
class Detach(Composite):
    CODE: ClassVar[int] = 0x16
    NAME: ClassVar[str] = "amqp:detach:list"
    handle: Annotated[int, UInt]
    closed: Annotated[bool, bool] = False
    error: Value = None


@dataclass(frozen=True, slots=True)
class End(Composite):
    CODE: ClassVar[int] = 0x17
    NAME: ClassVar[str] = "amqp:end:list"
    error: Value = None


@dataclass(frozen=True, slots=True)
class Close(Composite):
    CODE: ClassVar[int] = 0x18
    NAME: ClassVar[str] = "amqp:close:list"
    error: Value = None


@dataclass(frozen=True, slots=True)
class SaslMechanisms(Composite):
    CODE: ClassVar[int] = 0x40
    NAME: ClassVar[str] = "amqp:sasl-mechanisms:list"
    mechanisms: Annotated[tuple[str, ...], Array]


@dataclass(frozen=True, slots=True)
class SaslInit(Composite):
    CODE: ClassVar[int] = 0x41
    NAME: ClassVar[str] = "amqp:sasl-init:list"
    mechanism: Annotated[str, Symbol]
    initial_response: Annotated[bytes | None, bytes] = None
    hostname: Annotated[str | None, str] = None


@dataclass(frozen=True, slots=True)
class SaslOutcome(Composite):
    CODE: ClassVar[int] = 0x44
    NAME: ClassVar[str] = "amqp:sasl-outcome:list"
    code: Annotated[int, UByte]
    additional_data: Annotated[bytes | None, bytes] = None


@dataclass(frozen=True, slots=True)
class Accepted(Composite):
    CODE: ClassVar[int] = 0x24
    NAME: ClassVar[str] = "amqp:accepted:list"


@dataclass(frozen=True, slots=True)
class Rejected(Composite):
    CODE: ClassVar[int] = 0x25
    NAME: ClassVar[str] = "amqp:rejected:list"
    error: Value = None


@dataclass(frozen=True, slots=True)
class Released(Composite):
    CODE: ClassVar[int] = 0x26
    NAME: ClassVar[str] = "amqp:released:list"


@dataclass(frozen=True, slots=True)
class Modified(Composite):
    CODE: ClassVar[int] = 0x27
    NAME: ClassVar[str] = "amqp:modified:list"
    delivery_failed: Annotated[bool | None, bool] = None
    undeliverable_here: Annotated[bool | None, bool] = None
    message_annotations: Annotated[dict[Value, Value] | None, dict] = None


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
