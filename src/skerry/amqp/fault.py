"""What is wrong with something a peer sent, as AMQP names it."""

from __future__ import annotations

from skerry.errors import InvalidInput

DECODE_ERROR = "amqp:decode-error"
FRAMING_ERROR = "amqp:connection:framing-error"
INTERNAL_ERROR = "amqp:internal-error"
INVALID_FIELD = "amqp:invalid-field"
NOT_ALLOWED = "amqp:not-allowed"
NOT_FOUND = "amqp:not-found"
NOT_IMPLEMENTED = "amqp:not-implemented"
RESOURCE_LIMIT = "amqp:resource-limit-exceeded"
UNAUTHORIZED = "amqp:unauthorized-access"
WINDOW_VIOLATION = "amqp:session:window-violation"
TRANSFER_LIMIT = "amqp:link:transfer-limit-exceeded"
SIZE_EXCEEDED = "amqp:link:message-size-exceeded"
LINK_STOLEN = "amqp:link:stolen"
FORCED = "amqp:connection:forced"


class AmqpError(InvalidInput):
    """The peer broke a rule of AMQP 1.0, or of our bounds; ``condition`` is its name (part 2 §2.8.15)."""

    def __init__(self, what: str, condition: str = DECODE_ERROR, *, hint: str = "", **fields: object) -> None:
        super().__init__(what, hint=hint, **fields)
        self.condition = condition
