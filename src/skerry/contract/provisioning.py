"""How a device asks the provisioning service for its hub (contract.md §5.1-5.3)."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, unquote

from skerry.contract.credentials import key_bytes
from skerry.contract.names import ID_CHARS_MAX
from skerry.errors import InvalidInput, NotAuthenticated

API_VERSION = "2019-03-31"
REPLIES_FILTER = "$dps/registrations/res/#"
# What to wait before asking again, in seconds: Azure's own answer.
RETRY_AFTER_S = 3

# As long as IoT Hub's user names may be; ids are far shorter.
USERNAME_CHARS_MAX = 4096
RID_CHARS_MAX = 256
_REGISTER = "$dps/registrations/PUT/iotdps-register/"
_POLL = "$dps/registrations/GET/iotdps-get-operationstatus/"
_REPLY = "$dps/registrations/res/"
_SCOPE = re.compile(r"[A-Za-z0-9]{1,64}")
# Azure's rule: the alphabet of device ids, and the last is no punctuation but a dash.
_ID = re.compile(rf"[A-Za-z0-9_.\-:]{{0,{ID_CHARS_MAX - 1}}}[A-Za-z0-9\-]")
_REPLY_TOPIC = re.compile(r"\$dps/registrations/res/([0-9]{3})/\?(.*)")
# What MQTT does not allow in the topic of a PUBLISH, and what would end the id within ours.
_NO_RID = re.compile(r"[+#&$\x00\ud800-\udfff]")


class RegistrationId(str):
    """What a device is enrolled under: 1 to 128 of ``A-Z a-z 0-9 _ . - :``, not ending in ``_ . :``.

    Enrolment groups are named by the same rule. Raises InvalidInput.
    """

    __slots__ = ()

    def __new__(cls, value: str) -> RegistrationId:
        if not isinstance(value, str) or not _ID.fullmatch(value):
            raise InvalidInput(
                "illegal registration id",
                hint=f"use 1 to {ID_CHARS_MAX} of A-Z a-z 0-9 _ . - : and end with a letter, digit or dash",
                field="registrationId",
                value=value[:ID_CHARS_MAX] if isinstance(value, str) else type(value).__name__,
            )
        return super().__new__(cls, value)


@dataclass(frozen=True, slots=True)
class ProvisioningName:
    """Whom a connection to the provisioning service says it is."""

    id_scope: str
    registration_id: RegistrationId
    api_version: str = API_VERSION

    @property
    def resource(self) -> str:
        """The decoded audience of this device's SAS tokens."""
        return f"{self.id_scope}/registrations/{self.registration_id}"

    def render(self, user_agent: str) -> str:
        """The MQTT user name."""
        return f"{self.resource}/api-version={self.api_version}&ClientVersion={quote(user_agent, safe='')}"


def is_provisioning(username: str | None, client_id: str) -> bool:
    """Whether a CONNECT is for the provisioning service rather than for the hub.

    No user name of a hub is like that: there the device's id follows the host, and the client id of the
    module ``m`` of a device ``registrations`` is ``registrations/m``.
    """
    match (username or "")[:USERNAME_CHARS_MAX].split("/"):
        case [_, "registrations", registration, *_]:
            return registration == client_id
    return False


def parse_username(text: str, client_id: str) -> ProvisioningName:
    """Who connects; NotAuthenticated unless user name and client id name one registration.

    ``{idScope}/registrations/{id}/api-version=…&ClientVersion=…``, with or without a ``?``.
    """
    if len(text) > USERNAME_CHARS_MAX:
        raise NotAuthenticated("user name is too long", chars_max=USERNAME_CHARS_MAX)
    match text.split("/", 3):
        case [scope, "registrations", registration, query] if registration == client_id:
            version = _items(query.removeprefix("?")).get("api-version", "")
            return provisioning_name(scope, registration, version)
    raise NotAuthenticated(
        "user name and client id do not name one registration",
        hint=f"use {{idScope}}/registrations/{{client id}}/api-version={API_VERSION}",
        reason="username",
    )


def provisioning_name(id_scope: str, registration: str, api_version: str) -> ProvisioningName:
    """The name out of the parts that came over MQTT or HTTP; raises NotAuthenticated."""
    if not _SCOPE.fullmatch(id_scope) or not api_version:
        raise NotAuthenticated("no legal id scope, or no api-version", reason="username")
    try:
        return ProvisioningName(id_scope, RegistrationId(registration), api_version)
    except InvalidInput as exc:
        raise NotAuthenticated(exc.what, hint=exc.hint, reason="username") from exc


def derived_key(group_key: str, registration_id: str) -> str:
    """The key (base64) of one device of an enrolment group; InvalidInput when the group's is not base64.

    The id is signed as it stands: who spells it in capitals has to derive from capitals (§5.3).
    """
    digest = hmac.digest(key_bytes(group_key), registration_id.encode(), hashlib.sha256)
    return base64.b64encode(digest).decode()


@dataclass(frozen=True, slots=True)
class Register:
    """A device asks to be assigned."""

    rid: str


@dataclass(frozen=True, slots=True)
class Poll:
    """A device asks what became of an earlier request."""

    rid: str
    operation: str


@dataclass(frozen=True, slots=True)
class Reply:
    """The service answers; ``retry_after_s`` None: that was the last word."""

    status: int
    rid: str
    retry_after_s: int | None = None


def register_topic(rid: str) -> str:
    """Where a device asks to be assigned."""
    return f"{_REGISTER}?$rid={_checked(rid)}"


def poll_topic(rid: str, operation: str) -> str:
    """Where a device asks what became of ``operation``."""
    return f"{_POLL}?$rid={_checked(rid)}&operationId={quote(operation, safe='')}"


def reply_topic(status: int, rid: str, retry_after_s: int | None = None) -> str:
    """Where the answer goes; ``$rid`` stands first, and there are just two ``$`` (§5.1)."""
    wait = "" if retry_after_s is None else f"&retry-after={retry_after_s}"
    return f"{_REPLY}{status}/?$rid={_checked(rid)}{wait}"


def parse_request_topic(topic: str) -> Register | Poll:
    """What a device means by publishing to ``topic``; InvalidInput when that means nothing."""
    for prefix in (_REGISTER, _POLL):
        if topic.startswith(prefix + "?"):
            items = _items(topic[len(prefix) + 1 :])
            rid = _checked(items.get("$rid", ""))
            return Register(rid) if prefix == _REGISTER else Poll(rid, unquote(items.get("operationId", "")))
    raise InvalidInput("unknown topic", topic=topic[:RID_CHARS_MAX])


def parse_reply_topic(topic: str) -> Reply:
    """What the service means; InvalidInput when that is nothing."""
    found = _REPLY_TOPIC.fullmatch(topic)
    items = _items(found[2]) if found else {}
    wait = items.get("retry-after")
    if found is None or not items.get("$rid") or (wait is not None and not re.fullmatch("[0-9]{1,6}", wait)):
        raise InvalidInput("unknown topic", topic=topic[:RID_CHARS_MAX])
    return Reply(int(found[1]), items["$rid"], None if wait is None else int(wait))


def assigning(operation: str) -> dict[str, Any]:
    """The answer while nothing is decided."""
    return {"operationId": operation, "status": "assigning"}


def concluded(operation: str, state: Mapping[str, Any]) -> dict[str, Any]:
    """The answer once it is; ``state`` is the registration state."""
    return {"operationId": operation, "status": state["status"], "registrationState": dict(state)}


def error_document(status: int, message: str, tracking_id: str, timestamp: str) -> dict[str, Any]:
    """The provisioning service's own shape of an error; the code's first three digits are the status."""
    return {
        "errorCode": status * 1000 + 1,
        "trackingId": tracking_id,
        "message": message,
        "timestampUtc": timestamp,
    }


def _items(query: str) -> dict[str, str]:
    pairs = (item.partition("=") for item in query.split("&"))
    return {key: value for key, equals, value in pairs if equals}


def _checked(rid: str) -> str:
    if not 0 < len(rid) <= RID_CHARS_MAX or _NO_RID.search(rid):
        raise InvalidInput("no usable request id", hint="end the topic with ?$rid=…", rid=rid[:RID_CHARS_MAX])
    return rid
