"""The provisioning service: gives a device that is enrolled its identity at this hub (contract §5)."""

from __future__ import annotations

import asyncio
import logging
import math
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, TypeVar

from skerry.clock import Clock, iso
from skerry.contract.credentials import SasToken, verify_token
from skerry.contract.enrollment import Enrollment
from skerry.contract.names import DeviceId, Identity
from skerry.contract.provisioning import ProvisioningName, concluded, derived_key
from skerry.contract.resources import DeviceRecord, DeviceRequest, SymmetricKeys, Thumbprints, error_code
from skerry.errors import AlreadyExists, InvalidInput, NotAllowed, NotAuthenticated, NotFound, TooLarge
from skerry.hub import enrollment_rows, registration_rows
from skerry.hub.actor import Actor, acting
from skerry.hub.ca_certificates import CaCertificates
from skerry.hub.enrollment_certificates import check_own, group_of
from skerry.hub.registration_rows import Registration
from skerry.hub.registry import Registry
from skerry.hub.twins import Twins
from skerry.service.certificate_chain import common_name, read_chain, thumbprints
from skerry.store.storage import Storage, Transaction

log = logging.getLogger(__name__)

Json = dict[str, Any]
T = TypeVar("T")
Proof = SymmetricKeys | Thumbprints

# What an operator looks at when a device does not come; the log has them all.
REFUSALS_MAX = 100
# Registrations of one device run one after the other, those of different devices mostly at once.
LOCKS = 64
# Asking again would end the same way; the device is told "failed", the operator why.
FINAL = (InvalidInput, AlreadyExists, NotAllowed, NotFound, TooLarge)


class Provisioning:
    """Registers devices by the enrolments in ``database``; ``host_name`` is the hub they are assigned to."""

    def __init__(
        self,
        database: Storage,
        registry: Registry,
        twins: Twins,
        authorities: CaCertificates,
        host_name: str,
        clock: Clock,
    ) -> None:
        self._database = database
        self._registry = registry
        self._twins = twins
        self._authorities = authorities
        self._clock = clock
        self._locks = tuple(asyncio.Lock() for _ in range(LOCKS))
        self._refusals: deque[Json] = deque(maxlen=REFUSALS_MAX)
        self.host_name = host_name
        self.id_scope: str = database.read_now(_id_scope)

    @property
    def refusals(self) -> list[Json]:
        """The last devices that were refused with the reason, newest first; forgotten by a restart."""
        return list(reversed(self._refusals))

    async def authenticate(
        self, name: ProvisioningName, password: str | None, certificates: Sequence[bytes], peer: str
    ) -> Registrant:
        """The device, once ``password`` is a token by a key of its enrolment, or without a password one of
        ``certificates`` is its enrolment's.

        Raises NotAuthenticated: what it says is for the operator, never for who asked.
        """
        try:
            return self._verified(name, password, certificates)
        except NotAuthenticated as exc:
            log.warning("provisioning of %r from %s refused: %s", str(name.registration_id), peer, exc)
            self._refusals.append(
                {
                    "registrationId": str(name.registration_id),
                    "time": iso(self._clock.now()),
                    "peer": peer,
                    "reason": exc.fields.get("reason", ""),
                    "message": str(exc),
                }
            )
            raise

    async def register(self, device: Registrant) -> Registration:
        """Assign it, by the reprovision policy if it is not the first time; durable when this returns.

        A status ``failed`` is final and explained to services. Raises NotAuthenticated when its enrolment
        changed since it connected.
        """
        name = device.name.registration_id
        async with self._locks[hash(name.lower()) % LOCKS]:
            enrollment = self._unchanged(device.enrollment)
            old = self._database.read_now(lambda connection: registration_rows.find(connection, name))
            now = iso(self._clock.now())
            fresh = Registration(
                name, enrollment.id if enrollment.group else "", "", "failed", created=now, updated=now
            )
            fresh = replace(fresh, created=old.created if old else now)
            try:
                with acting(Actor(enrollment.name)):
                    done = await self._assigned(device, enrollment, old, fresh)
            except FINAL as exc:
                status, _ = error_code(exc)
                log.warning("%r is enrolled, and yet cannot be provisioned: %s", str(name), exc)
                done = replace(fresh, error_code=status * 1000 + 1, error_message=str(exc))
            await self._database.write(lambda connection: registration_rows.save(connection, done))
        if done.status == "assigned":
            log.info("%r is device %s by %s (%s)", str(name), done.device, enrollment.name, done.substatus)
        return done

    def registration(self, device: Registrant) -> Registration:
        """What it was last told; raises NotFound when it never registered."""
        name = device.name.registration_id
        return self._database.read_now(lambda connection: registration_rows.load(connection, name))

    # Who it is.

    def _verified(
        self, name: ProvisioningName, password: str | None, certificates: Sequence[bytes]
    ) -> Registrant:
        if name.id_scope != self.id_scope:
            raise NotAuthenticated(
                f"id scope {name.id_scope} is not ours", hint=f"ours is {self.id_scope}", reason="scope"
            )
        proof: Proof
        if password:
            token = SasToken.parse(password)
            enrollment, proof = self._by_token(name, token)
            expiry = token.expiry
        elif certificates:
            enrollment, proof = self._by_certificate(name, certificates)
            expiry = math.inf
        else:
            raise NotAuthenticated(
                "neither password nor client certificate",
                hint="send a SAS token, or connect with a certificate",
                reason="missing",
            )
        if not enrollment.enabled:
            raise NotAuthenticated(f"{enrollment.name} is disabled", hint="enable it", reason="disabled")
        return Registrant(self, name, enrollment, proof, expiry)

    def _by_certificate(
        self, name: ProvisioningName, certificates: Sequence[bytes]
    ) -> tuple[Enrollment, Thumbprints]:
        """The enrolment that the certificate is of, with what proves the device at the hub from then on."""
        chain, now = read_chain(certificates), self._clock.now()
        registration = name.registration_id
        if common_name(chain[0]).lower() != registration.lower():
            raise NotAuthenticated(
                f"the certificate is for {common_name(chain[0])[:128]!r}",
                hint="its common name has to be the registration id",
                reason="name",
            )
        own = self._read(lambda c: enrollment_rows.find(c, registration, group=False))
        if own is not None:
            if own.x509 is None:
                raise NotAuthenticated(f"{own.name} is by a key, not a certificate", reason="method")
            check_own(own, chain, self._authorities, now)
            both = [str(info["sha256Thumbprint"]) if info else "" for info in own.x509.infos]
            if any(both):
                return own, Thumbprints(both[0], both[1])
            return own, Thumbprints(thumbprints(chain[0])[1])
        groups = self._read(enrollment_rows.groups_by_certificate)
        # At the hub it is known by this certificate; with a new one it registers again.
        return group_of(groups, chain, self._authorities, now), Thumbprints(thumbprints(chain[0])[1])

    def _by_token(self, name: ProvisioningName, token: SasToken) -> tuple[Enrollment, SymmetricKeys]:
        """The enrolment whose key made the token, with the device's own keys; an individual one wins."""
        registration = name.registration_id
        now = self._clock.now().timestamp()
        own = self._read(lambda c: enrollment_rows.find(c, registration, group=False))
        if own is not None:
            if own.x509 is not None:
                raise NotAuthenticated(f"{own.name} is by a certificate, not a key", reason="method")
            verify_token(token, own.keys, [name.resource], now)
            return own, SymmetricKeys(*own.keys)
        for group, group_keys in self._read(enrollment_rows.group_keys):
            primary, secondary = (derived_key(key, registration) for key in group_keys)
            try:
                verify_token(token, (primary, secondary), [name.resource], now)
            except NotAuthenticated as exc:
                if exc.fields["reason"] == "signature":
                    continue
                raise
            found = self._read(partial(enrollment_rows.load, name=group, group=True))
            return found, SymmetricKeys(primary, secondary)
        raise NotAuthenticated(
            "it is not enrolled: there is no individual enrollment for it, and no group's key made its token",
            hint="enrol it, or derive its key from a group's key and exactly this registration id",
            reason="unknown",
        )

    def _unchanged(self, known: Enrollment) -> Enrollment:
        found = self._read(lambda c: enrollment_rows.find(c, known.id, group=known.group))
        if found is None or found.etag != known.etag:
            raise NotAuthenticated(
                f"{known.name} changed since the device connected", hint="connect anew", reason="changed"
            )
        return found

    # What it gets.

    async def _assigned(
        self, who: Registrant, enrollment: Enrollment, old: Registration | None, fresh: Registration
    ) -> Registration:
        device = _device_id(who, enrollment, old)
        known = old is not None and old.status == "assigned" and old.device == device
        existing = self._find(device)
        if existing is not None and not (known and old is not None and old.group == fresh.group):
            _check_free(enrollment, existing, who.proof)
        first = existing is None or not known
        policy = enrollment.reprovision
        reset = not first and policy.update_assignment and not policy.keep_data
        if reset:
            # All of it: modules, twins and waiting commands too. A crash before the next line is mended by
            # the device, which asks again.
            await self._registry.delete(Identity(device), None)
            existing = None
        await self._put(device, enrollment, who.proof, existing)
        if first or reset:
            await self._give_twin(device, enrollment)
        if first or old is None:
            substatus = "initialAssignment"
        elif not policy.update_assignment:
            substatus = old.substatus
        else:
            substatus = "deviceDataReset" if reset else "deviceDataMigrated"
        return replace(fresh, device=str(device), status="assigned", substatus=substatus)

    async def _put(
        self, device: DeviceId, enrollment: Enrollment, proof: Proof, existing: DeviceRecord | None
    ) -> None:
        """Create the device, or give it the enrolment's proof; whether it is enabled stays as it is."""
        iot_edge = enrollment.iot_edge or (existing is not None and existing.iot_edge)
        if existing is not None and (_proof(existing), existing.iot_edge) == (proof, iot_edge):
            return
        keys = proof if isinstance(proof, SymmetricKeys) else None
        request = DeviceRequest(
            device_id=device,
            status=existing.status if existing else "enabled",
            status_reason=existing.status_reason if existing else None,
            auth_type="sas" if keys else "selfSigned",
            primary_key=keys.primary if keys else None,
            secondary_key=keys.secondary if keys else None,
            thumbprints=proof if isinstance(proof, Thumbprints) else Thumbprints(),
            iot_edge=iot_edge,
            device_scope=None,
            parent_scopes=existing.parent_scopes if existing else (),
            etag=None,
        )
        await self._registry.put_device(request, existing.etag if existing else None)

    async def _give_twin(self, device: DeviceId, enrollment: Enrollment) -> None:
        document: Json = {"tags": enrollment.tags} if enrollment.tags else {}
        if enrollment.desired:
            document["properties"] = {"desired": enrollment.desired}
        if document:
            await self._twins.patch(Identity(device), document, None)

    def _find(self, device: DeviceId) -> DeviceRecord | None:
        try:
            return self._registry.device(device)
        except NotFound:
            return None

    def _read(self, work: Callable[[Transaction], T]) -> T:
        return self._database.read_now(work)


@dataclass(frozen=True, slots=True)
class Registrant:
    """A device that proved its enrolment; ``proof`` is its own at the hub, ``expiry`` its token's (unix
    seconds)."""

    service: Provisioning
    name: ProvisioningName
    enrollment: Enrollment
    proof: Proof = field(repr=False)
    expiry: float

    async def register(self) -> Json:
        """The answer to a registration request."""
        done = await self.service.register(self)
        return concluded(done.operation, done.state(self.service.host_name, explained=False))

    async def operation(self, operation: str) -> Json:
        """The answer to a poll; raises NotFound."""
        done = self.service.registration(self)
        if done.operation != operation:
            raise NotFound("there is no such operation", hint="register again")
        return concluded(operation, done.state(self.service.host_name, explained=False))


def _device_id(who: Registrant, enrollment: Enrollment, old: Registration | None) -> DeviceId:
    if not enrollment.group:
        return enrollment.device_id or DeviceId(enrollment.id)
    # Registration ids are equal in any case, device ids are not: the first spelling stays.
    return DeviceId(old.device if old and old.device else who.name.registration_id)


def _proof(device: DeviceRecord) -> Proof | None:
    """How a device proves itself at the hub; None when that is by an authority."""
    if device.auth_type == "sas":
        return device.keys
    return device.thumbprints if device.auth_type == "selfSigned" else None


def _check_free(enrollment: Enrollment, existing: DeviceRecord, proof: Proof) -> None:
    """A group's key or authority, which sits in many devices, must not take over one that is not the group's.

    An individual enrolment names its device, so there it is meant.
    """
    if enrollment.group and _proof(existing) != proof:
        raise AlreadyExists(
            f"device {existing.device_id} exists and is not of {enrollment.name}",
            hint="delete the device at the hub, or enrol it individually",
        )


def _id_scope(connection: Transaction) -> str:
    (scope,) = connection.execute("SELECT value FROM about WHERE key = 'id_scope'").fetchone()
    return str(scope)
