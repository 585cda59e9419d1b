"""Who a caller is, proved by a key, and what it may do."""

from __future__ import annotations

import base64
import binascii
import hmac
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from skerry.clock import Clock
from skerry.contract.credentials import SCHEME, SasToken, verify_token
from skerry.contract.names import HUB_MODULE, DeviceId, Identity, ModuleId
from skerry.errors import InvalidInput, NotAllowed, NotAuthenticated
from skerry.hub.device_certificates import DeviceCertificates
from skerry.hub.identity_rows import Admission
from skerry.hub.policies import Policy, Right
from skerry.hub.registry import Registry

BASIC = "Basic "


@dataclass(frozen=True, slots=True)
class ServiceCaller:
    """Somebody holding a policy's key."""

    policy: str
    rights: frozenset[Right]


@dataclass(frozen=True, slots=True)
class DeviceCaller:
    """A device or module holding its own key."""

    identity: Identity


Caller = ServiceCaller | DeviceCaller


class Authority:
    """Checks tokens against the policies and the registry; ``names`` are the hosts tokens may be made for."""

    def __init__(
        self,
        policies: Mapping[str, Policy],
        registry: Registry,
        certificates: DeviceCertificates,
        names: Sequence[str],
        clock: Clock,
    ) -> None:
        self._policies = policies
        self._registry = registry
        self._certificates = certificates
        self._names = frozenset(name.lower() for name in names)
        self._host_name = names[0]
        self._clock = clock

    def known_host(self, name: str) -> str:
        """``name`` if it is one of this hub's, else the hub's own: a client may claim anything."""
        return name if name.lower() in self._names else self._host_name

    def identify(self, authorization: str | None) -> Caller:
        """Who sent this ``Authorization`` header; raises NotAuthenticated."""
        if not authorization:
            raise NotAuthenticated(
                "no Authorization header", hint="send a SharedAccessSignature", reason="missing"
            )
        token = SasToken.parse(authorization)
        if token.policy is not None:
            return self._service(token, self._service_audiences(token))
        identity = _identity_in(token.resource)
        self._verify_identity(identity, token)
        return DeviceCaller(identity)

    def identify_certificate(self, claimed: Identity, presented: Sequence[bytes]) -> DeviceCaller:
        """The device or module that a request names and its TLS certificate proves; NotAuthenticated."""
        self._certificates.check(claimed, presented)
        _check_enabled(claimed, self._known(claimed))
        return DeviceCaller(claimed)

    def identify_person(self, authorization: str | None) -> ServiceCaller:
        """Who sent a Basic header: user is the policy's name, password one of its keys."""
        user, password = _basic(authorization or "")
        policy = self._policies.get(user)
        # Every key is compared, so that the time taken tells nothing.
        matches = [
            hmac.compare_digest(key.encode(), password.encode()) for key in (policy.keys if policy else ())
        ]
        if policy is None or not any(matches):
            raise NotAuthenticated("wrong policy name or key", hint="user: a policy, password: its key")
        return ServiceCaller(policy.name, policy.rights)

    def authenticate_device(
        self, identity: Identity, password: str | None, certificates: Sequence[bytes] = ()
    ) -> None:
        """Return when ``password`` is a token of this identity, or of a policy that may connect any device;
        without one, when ``certificates`` prove the identity.

        Raises NotAuthenticated: no or a wrong proof, an unknown or disabled identity.
        """
        if not password and certificates:
            self.identify_certificate(identity, certificates)
            return
        if not password:
            raise NotAuthenticated(
                "neither password nor client certificate",
                hint="send a SAS token as the password, or connect with a certificate",
                reason="missing",
            )
        token = SasToken.parse(password)
        if token.policy is None:
            gateway = self._gateway(identity, token)
            self._verify_identity(gateway or identity, token)
            if gateway is not None:
                _check_enabled(identity, self._known(identity))
            return
        caller = self._service(token, [*self._service_audiences(token), *self._resources(identity)])
        if Right.DEVICE_CONNECT not in caller.rights:
            raise NotAuthenticated(f"policy {caller.policy} may not connect devices", reason="policy")
        _check_enabled(identity, self._known(identity))

    def identify_amqp(self, text: str) -> tuple[ServiceCaller, float]:
        """Who holds the token that came over AMQP, and until when (unix seconds); raises NotAuthenticated.

        Audiences have a scheme and name a queue (``sb://host/entity``); what counts is that the host is ours.
        azure-eventhub signs with the text of the key instead of its bytes (contract §1.2).
        """
        token = SasToken.parse(text)
        policy = self._policies.get(token.policy or "")
        if policy is None:
            raise NotAuthenticated(
                "no such shared access policy", hint="check SharedAccessKeyName", reason="policy"
            )
        keys = [*policy.keys, *(base64.b64encode(key.encode()).decode() for key in policy.keys)]
        host = token.resource.partition("://")[2] or token.resource
        ours = host.partition("/")[0].partition(":")[0].lower() in self._names
        resources = [token.resource] if ours else list(self._names)
        verify_token(token, keys, resources, self._clock.now().timestamp())
        return ServiceCaller(policy.name, policy.rights), token.expiry

    def identify_plain(self, user: str, password: str) -> tuple[ServiceCaller, float]:
        """The same by SASL PLAIN: ``policy`` or ``policy@sas.root.hub`` with a key or a token."""
        if password.startswith(SCHEME):
            return self.identify_amqp(password)
        login = base64.b64encode(f"{user.partition('@')[0]}:{password}".encode()).decode()
        return self.identify_person(BASIC + login), math.inf

    def may_stay(self, identity: Identity) -> bool:
        """Whether an identity is registered and its device enabled, so that it may be connected at all."""
        known = self._registry.admission(identity)
        return known is not None and known.enabled

    def _service(self, token: SasToken, resources: Sequence[str]) -> ServiceCaller:
        policy = self._policies.get(token.policy or "")
        if policy is None:
            raise NotAuthenticated(
                "no such shared access policy", hint="check SharedAccessKeyName", reason="policy"
            )
        verify_token(token, policy.keys, resources, self._clock.now().timestamp())
        return ServiceCaller(policy.name, policy.rights)

    def _verify_identity(self, identity: Identity, token: SasToken) -> None:
        known = self._known(identity)
        verify_token(token, known.keys, self._resources(identity), self._clock.now().timestamp())
        _check_enabled(identity, known)

    def _gateway(self, identity: Identity, token: SasToken) -> Identity | None:
        """The edge hub that speaks for a child of its device: for one that proves itself by certificate.

        The child showed it there, and its gateway holds no key of it.
        """
        parts = token.resource.split("/")
        if identity.module is not None or parts[-2:] != ["modules", HUB_MODULE]:
            return None
        gateway, row = _identity_in(token.resource), self._registry.find(identity)
        if row is None or row.auth_type not in ("selfSigned", "certificateAuthority"):
            return None
        return gateway if self._registry.is_child(identity.device, of=gateway.device) else None

    def _known(self, identity: Identity) -> Admission:
        known = self._registry.admission(identity)
        if known is None:
            raise NotAuthenticated(f"{identity.client_id} is not registered here", reason="unknown")
        return known

    def _resources(self, identity: Identity) -> list[str]:
        return [identity.resource(name) for name in self._names]

    def _service_audiences(self, token: SasToken) -> list[str]:
        """Our names; also with the scheme or the port that a service client put before or after the name."""
        bare = token.resource.removeprefix("https://").lower()
        host, _, port = bare.partition(":")
        ours = host in self._names and (port.isdigit() or not port)
        return [token.resource] if ours else list(self._names)


def _check_enabled(identity: Identity, known: Admission) -> None:
    if not known.enabled:
        raise NotAuthenticated(f"device {identity.device} is disabled", hint="enable it", reason="disabled")


def require(caller: Caller, right: Right) -> None:
    """Raise NotAllowed unless the caller is a service with this right."""
    if not isinstance(caller, ServiceCaller):
        raise NotAllowed("a device may not do this", hint="use a service policy")
    if right not in caller.rights:
        raise NotAllowed(f"policy {caller.policy} lacks the right {right.value}", right=right.value)


def require_or_own(caller: Caller, right: Right, device: DeviceId) -> None:
    """As ``require``; a device may also do it to its own modules (contract §4.2, end)."""
    if isinstance(caller, DeviceCaller):
        if caller.identity != Identity(device):
            raise NotAllowed("a device may manage only its own modules")
        return
    require(caller, right)


def _identity_in(resource: str) -> Identity:
    parts = resource.split("/")
    try:
        match parts:
            case [_, "devices", device]:
                return Identity(DeviceId(device))
            case [_, "devices", device, "modules", module]:
                return Identity(DeviceId(device), ModuleId(module))
    except InvalidInput as exc:
        raise NotAuthenticated("the token names an illegal id", reason="audience") from exc
    raise NotAuthenticated(
        "the token names neither a policy nor a device", hint="a service token needs skn", reason="audience"
    )


def _basic(authorization: str) -> tuple[str, str]:
    if not authorization.startswith(BASIC):
        raise NotAuthenticated("log in with a policy's name and key", reason="missing")
    try:
        user, _, password = (
            base64.b64decode(authorization.removeprefix(BASIC), validate=True).decode().partition(":")
        )
    except (binascii.Error, UnicodeDecodeError) as exc:
        raise NotAuthenticated("the Basic header is malformed", reason="malformed") from exc
    return user, password


def is_basic(authorization: str | None) -> bool:
    """Whether a header is a person's Basic login rather than a token."""
    return bool(authorization) and not str(authorization).startswith(SCHEME)
