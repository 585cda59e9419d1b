"""The AMQP front: links of services to the node they name."""

from __future__ import annotations

import logging
import re
from typing import assert_never

from skerry.amqp.events import Attached, Closed, Credited, Delivered, Detached, Event, Opened, Settled
from skerry.amqp.fault import LINK_STOLEN, NOT_FOUND, UNAUTHORIZED, AmqpError
from skerry.amqp.link import Link
from skerry.amqp.stream import Wire
from skerry.errors import InvalidInput, NotAllowed, NotFound, SkerryError
from skerry.hub.policies import Right
from skerry.hub.verbs import Verbs

from .command_sender import CommandSender
from .event_reader import EventReader
from .feedback_reader import FeedbackReader
from .management import PARTITION, Management
from .requests import Replies, Requests
from .selector import parse_selector
from .tokens import Tokens
from .visit import Node, Visit

log = logging.getLogger(__name__)

CBS, MANAGEMENT = "$cbs", "$management"
COMMANDS = "messages/devicebound"
FEEDBACK = "messages/servicebound/feedback"
FILE_NOTICES = "messages/servicebound/filenotifications"
_PARTITION = re.compile(r"(?P<entity>.+)/consumergroups/(?P<group>[^/]+)/partitions/(?P<partition>[^/]+)")
# A reader with an epoch takes its consumer group's partition away from those with a lower one.
EPOCH = "com.microsoft:epoch"


class AmqpFront:
    """Implements ``skerry.amqp.stream.Handler`` over the hub's verbs."""

    def __init__(self, verbs: Verbs) -> None:
        self._verbs = verbs
        self._tokens = Tokens(verbs.authority)
        self._management = Management(verbs.telemetry)
        # Consumer group → its readers that gave an epoch.
        self._owners: dict[str, list[tuple[int, Visit, Link]]] = {}

    def authenticate(self, wire: Wire, mechanism: str, answer: bytes) -> bool:
        """Anybody may come in and put tokens; PLAIN has to be right at once."""
        if mechanism != "PLAIN":
            return True
        try:
            _, user, password = answer.decode().split("\0")
            self._visit(wire).grant(*self._verbs.authority.identify_plain(user, password))
        except (ValueError, SkerryError) as error:
            log.info("refused %s: %s", wire.peer, error if isinstance(error, SkerryError) else "bad PLAIN")
            return False
        return True

    def happened(self, wire: Wire, event: Event) -> None:
        visit = self._visit(wire)
        match event:
            case Opened() | Closed():
                return
            case Attached(link):
                self._attach(visit, link)
            case Delivered(link, delivery_id, payload):
                self._node(visit, link).delivered(delivery_id, payload)
            case Credited(link):
                self._node(visit, link).credited()
            case Settled(link):
                self._node(visit, link).settled(event)
            case Detached(link):
                visit.nodes.pop(link, Node()).ended()
            case _:
                assert_never(event)

    def _visit(self, wire: Wire) -> Visit:
        if not isinstance(wire.context, Visit):
            wire.context = Visit(wire, self._verbs.clock)
        assert isinstance(wire.context, Visit)
        return wire.context

    def _node(self, visit: Visit, link: Link) -> Node:
        return visit.nodes.get(link) or Node()

    def _attach(self, visit: Visit, link: Link) -> None:
        connection = visit.wire.connection
        try:
            make = self._route(visit, link, node_name(link.address))
        except NotAllowed as error:
            connection.refuse(link, UNAUTHORIZED, str(error))
        except NotFound as error:
            connection.refuse(link, NOT_FOUND, str(error))
        except InvalidInput as error:
            condition = error.condition if isinstance(error, AmqpError) else "amqp:invalid-field"
            connection.refuse(link, condition, str(error))
        else:
            connection.accept(link)
            visit.nodes[link] = make

    def _route(self, visit: Visit, link: Link, name: str) -> Node:
        """Raises NotAllowed, NotFound, InvalidInput."""
        if name == CBS:
            return Replies(visit, link) if link.is_sender else Requests(visit, link, self._tokens.answer)
        if not visit.may(Right.SERVICE_CONNECT):
            raise NotAllowed("the connection has no token with the right serviceConnect")
        if name == MANAGEMENT or name.endswith(f"/{MANAGEMENT}"):
            return Replies(visit, link) if link.is_sender else Requests(visit, link, self._management.answer)
        if link.is_sender:
            return self._source(visit, link, name)
        if name == COMMANDS:
            return CommandSender(visit, link, self._verbs.commands, self._verbs.throttle)
        raise NotFound(f"nothing takes messages at {link.address[:200]!r}")

    def _source(self, visit: Visit, link: Link, name: str) -> Node:
        if name == FEEDBACK:
            return FeedbackReader(visit, link, self._verbs.commands.feedback)
        if name == FILE_NOTICES:
            return FeedbackReader(visit, link, self._verbs.uploads.notices, files=True)
        found = _PARTITION.fullmatch(name)
        if found is None or found["partition"] != PARTITION:
            raise NotFound(f"no messages come from {link.address[:200]!r}", hint="there is one partition, 0")
        position = parse_selector(link.filters())
        self._own(visit, link, found["group"])
        return EventReader(visit, link, self._verbs.telemetry, self._verbs.registry, position)

    def _own(self, visit: Visit, link: Link, group: str) -> None:
        """Event Hubs' rule: one reader with an epoch per consumer group, the highest (or newest) one."""
        given = (link.peer.properties or {}).get(EPOCH)
        known = [one for one in self._owners.get(group, []) if one[2] in one[1].nodes]
        if isinstance(given, int):
            if any(epoch > given for epoch, _, _ in known):
                raise NotAllowed("a reader with a higher epoch reads this consumer group")
            for _, other, older in known:
                other.nodes.pop(older).ended()
                other.wire.connection.detach(older, LINK_STOLEN, "a newer reader took over")
                other.wire.flush()
            known = [(given, visit, link)]
        self._owners[group] = known
        if not known:
            del self._owners[group]


def node_name(address: str) -> str:
    """An address without scheme and host, in lower case: clients write it in three ways (contract §4.8)."""
    rest = re.sub(r"^[a-z]+://[^/]*", "", address.strip(), flags=re.IGNORECASE)
    return rest.strip("/").lower()
