"""Which endpoints a message goes to."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from skerry.contract.hub_desired import PRIORITY_DEFAULT, parse_hub_desired
from skerry.contract.message import Message
from skerry.edge.hub.router import (
    Destination,
    Router,
    RoutingTable,
    destinations,
    input_endpoint,
    input_of,
    upstream_endpoint,
    upstream_sender,
)
from tests.support.edge import hub_desired, module

CAMERA = module("camera")
IMAGE = Message(b"jpeg", {"quality": "high"}, {"outputName": "images"})


def table(ttl: int = -1, **routes: Any) -> RoutingTable:
    desired = hub_desired(**routes)
    desired["storeAndForwardConfiguration"]["timeToLiveSecs"] = ttl
    return RoutingTable.of(parse_hub_desired(desired))


def test_every_matching_route_gets_the_message() -> None:
    routes = table(
        a='FROM /messages/modules/camera/outputs/images INTO BrokeredEndpoint("/modules/cnn/inputs/image")',
        b="FROM /messages/* INTO $upstream",
        c='FROM /messages/modules/other/* INTO BrokeredEndpoint("/modules/cnn/inputs/other")',
    )
    assert {d.endpoint for d in destinations(CAMERA, IMAGE, routes)} == {
        "input/cnn/image",
        "upstream/edge-1/camera",
    }


def test_one_endpoint_gets_it_once_by_the_best_priority() -> None:
    routes = table(
        slow="FROM /messages/* INTO $upstream",
        fast={
            "route": "FROM /messages/* WHERE quality = 'high' INTO $upstream",
            "priority": 1,
            "timeToLiveSecs": 60,
        },
    )
    assert destinations(CAMERA, IMAGE, routes) == [Destination("upstream/edge-1/camera", 1, 60)]
    assert destinations(CAMERA, Message(b""), routes) == [
        Destination("upstream/edge-1/camera", PRIORITY_DEFAULT, None)
    ]


def test_a_route_without_a_time_to_live_takes_the_hubs() -> None:
    routes = table(7200, up={"route": "FROM /* INTO $upstream", "timeToLiveSecs": 0})
    assert destinations(CAMERA, IMAGE, routes)[0].life_s == 7200


def test_no_routes_no_destinations() -> None:
    assert destinations(CAMERA, IMAGE, RoutingTable()) == []


@given(st.from_regex(r"[A-Za-z0-9_-]{1,20}", fullmatch=True), st.text(min_size=1, max_size=20))
def test_endpoint_names_read_back(name: str, input_name: str) -> None:
    assert input_of(input_endpoint(name, input_name)) == (name, input_name)
    assert upstream_sender(input_endpoint(name, input_name)) is None
    assert upstream_sender(upstream_endpoint(module(name))) == module(name)
    assert input_of(upstream_endpoint(module(name))) is None


def test_what_the_router_remembers_is_what_it_would_find() -> None:
    routes = table(up="FROM /messages/* WHERE kind = 'good' INTO $upstream")
    router = Router(routes)
    good, bad = Message(b"", {"kind": "good"}), Message(b"", {"kind": "bad"})
    for message in (good, good, bad, good, Message(b"other", good.properties, good.system), bad):
        expected = destinations(module("cnn"), message, routes)
        assert router.destinations(module("cnn"), message) == expected
    assert len(router.destinations(module("camera"), good)) == 1


def test_a_route_that_reads_the_body_is_looked_at_for_every_message() -> None:
    router = Router(table(up="FROM /* WHERE $body.n > 1 INTO $upstream"))
    system = {"contentType": "application/json", "contentEncoding": "utf-8"}
    properties: dict[str, str | None] = {}
    found = [
        len(router.destinations(module("cnn"), Message(body, properties, system)))
        for body in (b'{"n": 2}', b'{"n": 0}', b'{"n": 3}')
    ]
    assert found == [1, 0, 1]
