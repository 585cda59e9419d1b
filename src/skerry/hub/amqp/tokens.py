"""``$cbs``: a client proves by a token what it may do (contract §4.8, step 3)."""

from __future__ import annotations

from skerry.amqp.message import Message
from skerry.amqp.types import Value
from skerry.errors import InvalidInput, NotAuthenticated
from skerry.hub.authority import Authority

from .visit import Visit

TOKEN_TYPES = ("azure-devices.net:sastoken", "servicebus.windows.net:sastoken")


class Tokens:
    """Answers ``put-token``."""

    def __init__(self, authority: Authority) -> None:
        self._authority = authority

    async def answer(self, visit: Visit, request: Message) -> Value:
        """Take up a token; raises NotAuthenticated, InvalidInput."""
        if request.application.get("operation") != "put-token":
            raise InvalidInput("only put-token is known here", field="operation")
        if request.application.get("type") not in TOKEN_TYPES or not isinstance(request.body, str):
            raise NotAuthenticated("only shared access signatures are known here", reason="type")
        visit.grant(*self._authority.identify_amqp(request.body))
        return None
