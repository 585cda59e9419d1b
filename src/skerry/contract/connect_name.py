"""The MQTT user name of IoT Hub: host, identity, API version, further items (contract.md §1.3)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote, unquote

from skerry.contract.names import Identity, ModuleId
from skerry.errors import InvalidInput, NotAuthenticated

API_VERSION = "2021-04-12"
USERNAME_CHARS_MAX = 4096


@dataclass(frozen=True, slots=True)
class ConnectName:
    """Whom a connection says it is. ``query`` holds all decoded items, ``api-version`` included."""

    host: str
    identity: Identity
    api_version: str
    query: Mapping[str, str]


def parse_username(text: str, client_id: str) -> ConnectName:
    """Who connects, from user name and client id; NotAuthenticated unless both name the same identity.

    Takes ``host/d[/m]/?api-version=…``, without the ``?``, and with product segments before the query.
    """
    if len(text) > USERNAME_CHARS_MAX:
        raise NotAuthenticated("user name is too long", chars_max=USERNAME_CHARS_MAX)
    try:
        identity = Identity.parse(client_id)
    except InvalidInput as exc:
        raise NotAuthenticated("client id names no device or module", hint=exc.hint, **exc.fields) from exc
    segments, query = _split(text)
    host, *rest = segments
    if not host or not _names(rest, identity):
        raise NotAuthenticated(
            "user name and client id name different identities",
            hint=f"use {{host}}/{client_id}/?api-version={API_VERSION}",
            client_id=client_id,
        )
    items = _decoded_items(query)
    version = items.get("api-version", "")
    if not version:
        raise NotAuthenticated(
            "user name has no api-version", hint=f"end it with /?api-version={API_VERSION}"
        )
    return ConnectName(host, identity, version, items)


def render_username(host: str, identity: Identity, user_agent: str) -> str:
    """The user name a client sends; ``user_agent`` tells the hub's operator what connects."""
    agent = quote(user_agent, safe="")
    return f"{host}/{identity.client_id}/?api-version={API_VERSION}&DeviceClientType={agent}"


def _split(text: str) -> tuple[list[str], str]:
    """Path segments and query text, which starts at ``?`` or else at the first segment with a ``=``."""
    path, mark, query = text.partition("?")
    segments = path.split("/")
    if not mark:
        first = next((i for i, segment in enumerate(segments) if "=" in segment), len(segments))
        segments, query = segments[:first] or [""], "/".join(segments[first:])
    return segments, query


def _names(rest: list[str], identity: Identity) -> bool:
    """Whether the segments after the host are ``identity``, with or without a product after it."""
    expected = identity.client_id.split("/")
    if rest[: len(expected)] != expected:
        return False
    more = [segment for segment in rest[len(expected) :] if segment]
    # One segment more after a device is a module: another identity.
    return identity.module is not None or len(more) != 1 or not _is_module(more[0])


def _is_module(text: str) -> bool:
    try:
        ModuleId(text)
    except InvalidInput:
        return False
    return True


def _decoded_items(query: str) -> dict[str, str]:
    pairs = (item.partition("=") for item in query.split("&"))
    return {unquote(key): unquote(value) for key, equals, value in pairs if equals}
