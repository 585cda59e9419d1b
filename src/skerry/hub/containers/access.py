"""Who may push and pull: services by their policy, devices by their own identity (distribution, token spec).

A client proves itself once, at the token endpoint, and gets a token for a few minutes. Simple clients may
send the same login with every request instead.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import logging
import re
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from skerry.clock import Clock
from skerry.contract.credentials import SCHEME
from skerry.contract.names import Identity
from skerry.errors import InvalidInput, NotAllowed, NotAuthenticated
from skerry.hub.authority import BASIC, Authority, Caller, DeviceCaller, ServiceCaller
from skerry.hub.policies import Right
from skerry.hub.registry import Registry
from skerry.oci.reference import REPOSITORY

log = logging.getLogger(__name__)

BEARER = "Bearer "
PULL, PUSH, DELETE, LIST = "pull", "push", "delete", "list"
ACTIONS = (PULL, PUSH, DELETE, LIST)
# As Docker's own token servers give; a pull of many layers asks again.
TOKEN_LIFE_S = 300
SCOPE = re.compile(r"(repository|registry):([^:]+):([a-z,*]+)")
# A client that pushes several repositories in one session names a scope for each.
SCOPES_MAX = 32
CATALOG = "*"


@dataclass(frozen=True, slots=True)
class Grant:
    """A proved caller, and what it may do in which repository; ``everywhere`` without naming one."""

    who: str
    everywhere: frozenset[str] = frozenset()
    repositories: Mapping[str, frozenset[str]] | None = None
    # Whether the caller itself, whatever its token was asked for, may read everywhere.
    reads_all: bool = False

    def may(self, action: str, repository: str) -> bool:
        """Whether it may do this there."""
        named = (self.repositories or {}).get(repository, frozenset())
        return action in self.everywhere or action in named

    def may_mount(self, source: str) -> bool:
        """Whether a blob of ``source`` may become another repository's."""
        return self.reads_all or self.may(PULL, source)

    def require(self, action: str, repository: str) -> None:
        """NotAllowed."""
        if not self.may(action, repository):
            raise NotAllowed(
                f"{self.who} may not {action} {repository}",
                hint="devices pull; pushing needs a policy with registryWrite",
                repository=repository,
            )


class Access:
    """Logins in, tokens out, tokens checked. Tokens end with the process: its key is never written."""

    def __init__(self, authority: Authority, registry: Registry, clock: Clock) -> None:
        self._authority = authority
        self._registry = registry
        self._clock = clock
        self._key = secrets.token_bytes(32)

    def login(self, authorization: str | None, shown: Sequence[bytes] = ()) -> Grant:
        """Who sent a Basic login or a SAS token, with all its rights; NotAuthenticated.

        A device without a key gives its name alone and shows its certificate (``shown``, the leaf first).
        """
        caller = self._caller(authorization or "", shown)
        if isinstance(caller, DeviceCaller):
            return Grant(caller.identity.client_id, frozenset({PULL}))
        return Grant(f"policy {caller.policy}", _actions(caller.rights))

    def login_with(self, user: str, password: str) -> Grant:
        """The same for a name and a password that came in a form."""
        return self.login(BASIC + base64.b64encode(f"{user}:{password}".encode()).decode())

    def token(self, grant: Grant, scopes: Iterable[str]) -> str:
        """A token for what is both asked for and allowed; asking for more is no error, as Docker does."""
        access: dict[str, list[str]] = {}
        for scope in [one for text in scopes for one in text.split()][:SCOPES_MAX]:
            if (match := SCOPE.fullmatch(scope)) is None:
                raise InvalidInput(f"not a scope: {scope[:200]!r}", hint="repository:NAME:pull,push")
            kind, name, wanted = match.groups()
            repository = CATALOG if kind == "registry" else name
            if kind == "repository" and not REPOSITORY.fullmatch(name):
                raise InvalidInput(f"not a repository: {name[:200]!r}", code_name="NAME_INVALID")
            asked = ACTIONS if "*" in wanted else wanted.split(",")
            allowed = grant.everywhere.intersection(asked)
            access[repository] = [action for action in ACTIONS if action in allowed]
        reads_all = grant.reads_all or PULL in grant.everywhere
        about = {"who": grant.who, "expires": self._now() + TOKEN_LIFE_S, "reads_all": reads_all}
        return self._signed({**about, "access": access})

    def grant(self, authorization: str | None, shown: Sequence[bytes] = ()) -> Grant:
        """What the sender of this header may do; NotAuthenticated."""
        if not authorization or not authorization.startswith(BEARER):
            return self.login(authorization, shown)
        claims = self._checked(authorization.removeprefix(BEARER))
        who = str(claims["who"])
        if not who.startswith("policy ") and not self._authority.may_stay(Identity.parse(who)):
            raise NotAuthenticated(f"{who} is no longer registered and enabled here", reason="disabled")
        access = {name: frozenset(actions) for name, actions in claims["access"].items()}
        return Grant(who, repositories=access, reads_all=bool(claims["reads_all"]))

    def _caller(self, authorization: str, shown: Sequence[bytes]) -> Caller:
        if authorization.startswith(SCHEME):
            return self._authority.identify(authorization)
        user, password = _basic(authorization)
        if password.startswith(SCHEME):
            caller = self._authority.identify(password)
            name = caller.policy if isinstance(caller, ServiceCaller) else caller.identity.client_id
            if user != name:
                raise NotAuthenticated(f"the token is {name}'s, not {user}'s", reason="audience")
            return caller
        if not password and shown:
            return self._by_certificate(user, shown)
        return self._device(user, password) or self._authority.identify_person(authorization)

    def _by_certificate(self, user: str, shown: Sequence[bytes]) -> DeviceCaller:
        try:
            return self._authority.identify_certificate(Identity.parse(user), shown)
        except (InvalidInput, NotAuthenticated) as exc:
            # Why is for the operator: who asks may be anybody.
            log.info("refused the certificate shown for %s: %s", user[:200], exc)
            raise NotAuthenticated(
                "the client certificate does not prove this device", reason="certificate"
            ) from exc

    def _device(self, user: str, password: str) -> DeviceCaller | None:
        """A device that sends its key itself, as a person at its keyboard would."""
        try:
            identity = Identity.parse(user)
        except InvalidInput:
            return None
        known = self._registry.admission(identity)
        keys = known.keys if known is not None else ()
        matches = [hmac.compare_digest(key.encode(), password.encode()) for key in keys if key]
        if known is None or not known.enabled or not any(matches):
            return None
        return DeviceCaller(identity)

    def _signed(self, claims: Mapping[str, object]) -> str:
        body = base64.urlsafe_b64encode(json.dumps(claims).encode())
        return f"{body.decode()}.{self._mac(body)}"

    def _checked(self, token: str) -> dict[str, Any]:
        body, _, mac = token.partition(".")
        if not hmac.compare_digest(self._mac(body.encode()).encode(), mac.encode()):
            raise NotAuthenticated("the token is not one of this hub's", reason="signature")
        claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(body))
        if claims["expires"] <= self._now():
            raise NotAuthenticated("the token has expired", reason="expired")
        return claims

    def _mac(self, body: bytes) -> str:
        return hmac.digest(self._key, body, hashlib.sha256).hex()

    def _now(self) -> float:
        return self._clock.now().timestamp()


def _actions(rights: frozenset[Right]) -> frozenset[str]:
    if Right.REGISTRY_WRITE in rights:
        return frozenset(ACTIONS)
    return frozenset({PULL, LIST}) if Right.REGISTRY_READ in rights else frozenset()


def _basic(authorization: str) -> tuple[str, str]:
    """User and password; the last colon parts them, for device ids may hold some and keys do not."""
    try:
        text = base64.b64decode(authorization.removeprefix(BASIC), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError) as exc:
        raise NotAuthenticated("the Basic header is malformed", reason="malformed") from exc
    user, colon, password = text.rpartition(":")
    if not authorization.startswith(BASIC) or not colon:
        raise NotAuthenticated(
            "log in as a policy or a device",
            hint="docker login; the password is a key or SAS token",
            reason="missing",
        )
    return user, password
