"""Who may be provisioned, and how, as a document of the enrolment service API (contract.md §5.4)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from skerry.contract.attestation import X509, attestation_json, parse_attestation
from skerry.contract.member import Member
from skerry.contract.names import DeviceId
from skerry.contract.provisioning import RegistrationId
from skerry.contract.twin import validate_patch
from skerry.errors import Unsupported

STATUSES = ("enabled", "disabled")
# With one hub they come to the same; ``custom`` would be a program of the user's.
ALLOCATION_POLICIES = ("hashed", "geoLatency", "static", "custom")
HUBS_MAX = 16

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Reprovision:
    """What a device that registers again gets: its assignment as it is, or a new one with or without its
    data."""

    update_assignment: bool = True
    keep_data: bool = True


@dataclass(frozen=True, slots=True)
class Enrollment:
    """A device that may be provisioned or, with ``group``, all that hold a key derived from the group's or a
    certificate of its authority.

    Keys are base64; an empty one is for the service to make, or to keep; with ``x509`` they mean nothing.
    ``device_id`` None: the registration id. ``hubs`` are the only ones it may be assigned to; none: any.
    """

    id: RegistrationId
    group: bool
    keys: tuple[str, str] = field(default=("", ""), repr=False)
    x509: X509 | None = None
    device_id: DeviceId | None = None
    iot_edge: bool = False
    hubs: tuple[str, ...] = ()
    tags: Json = field(default_factory=dict)
    desired: Json = field(default_factory=dict)
    enabled: bool = True
    reprovision: Reprovision = Reprovision()
    allocation: str = "hashed"
    information: Json | None = None
    created: str = ""
    updated: str = ""
    etag: str = ""

    @property
    def name(self) -> str:
        """For people: ``enrollment group 'x'``."""
        return f"enrollment{' group' if self.group else ''} {str(self.id)!r}"


def id_field(*, group: bool) -> str:
    """The member that names an enrolment."""
    return "enrollmentGroupId" if group else "registrationId"


def parse_enrollment(document: Any, url_id: str, *, group: bool) -> Enrollment:
    """The body of a PUT; InvalidInput with ``path``, Unsupported for attestations that are not ours."""
    root = Member("", document)
    given = root[id_field(group=group)]
    if given.given and given.value != url_id:
        given.refuse(f"the id in the URL, {url_id}")
    device = root["deviceId"]
    keys, x509 = parse_attestation(root["attestation"], group=group)
    return Enrollment(
        id=RegistrationId(url_id),
        group=group,
        keys=keys,
        x509=x509,
        device_id=DeviceId(device.text()) if device.given and not group else None,
        iot_edge=_flag(root, "capabilities", "iotEdge", default=False),
        hubs=_hubs(root),
        tags=_patch(root, "tags"),
        desired=_patch(root, "desired"),
        enabled=_choice(root["provisioningStatus"], STATUSES) == "enabled",
        reprovision=Reprovision(
            _flag(root, "reprovisionPolicy", "updateHubAssignment", default=True),
            _flag(root, "reprovisionPolicy", "migrateDeviceData", default=True),
        ),
        allocation=_allocation(root["allocationPolicy"]),
        information=_information(root["optionalDeviceInformation"]),
    )


def enrollment_json(enrollment: Enrollment, *, with_keys: bool) -> Json:
    """The document of the service API; keys only for those who asked for them, certificates never."""
    return {
        id_field(group=enrollment.group): str(enrollment.id),
        **({} if enrollment.group else {"deviceId": enrollment.device_id}),
        "attestation": attestation_json(
            enrollment.keys, enrollment.x509, whole=with_keys and enrollment.x509 is None
        ),
        "capabilities": {"iotEdge": enrollment.iot_edge},
        "initialTwin": {"tags": enrollment.tags, "properties": {"desired": enrollment.desired}},
        "provisioningStatus": "enabled" if enrollment.enabled else "disabled",
        "reprovisionPolicy": {
            "updateHubAssignment": enrollment.reprovision.update_assignment,
            "migrateDeviceData": enrollment.reprovision.keep_data,
        },
        "allocationPolicy": enrollment.allocation,
        "iotHubs": list(enrollment.hubs),
        "optionalDeviceInformation": enrollment.information,
        "createdDateTimeUtc": enrollment.created,
        "lastUpdatedDateTimeUtc": enrollment.updated,
        "etag": enrollment.etag,
    }


def _flag(root: Member, parent: str, name: str, *, default: bool) -> bool:
    if not root[parent].given or not root[parent][name].given:
        return default
    value = root[parent][name].value
    return value if isinstance(value, bool) else root[parent][name].refuse("true or false")


def _choice(member: Member, allowed: tuple[str, ...]) -> str:
    return member.one_of(allowed) if member.given else allowed[0]


def _allocation(member: Member) -> str:
    policy = _choice(member, ALLOCATION_POLICIES)
    if policy == "custom":
        raise Unsupported("custom allocation is not in this build", hint="leave it out", path=member.path)
    return policy


def _hubs(root: Member) -> tuple[str, ...]:
    one, many = root["iotHubHostName"], root["iotHubs"]
    names = [one] if one.given and one.value != "" else []
    if many.given:
        if not isinstance(many.value, list) or len(many.value) > HUBS_MAX:
            many.refuse(f"an array of at most {HUBS_MAX} host names")
        names += [Member(f"iotHubs[{index}]", value) for index, value in enumerate(many.value)]
    return tuple(dict.fromkeys(name.text() for name in names))


def _patch(root: Member, name: str) -> Json:
    twin = root["initialTwin"]
    if not twin.given:
        return {}
    if name == "tags":
        member, where = twin["tags"], "tags"
    else:
        member = twin["properties"]["desired"] if twin["properties"].given else twin["properties"]
        where = "properties.desired"
    if not member.given:
        return {}
    # SDKs send back what they got, and their collections carry these.
    document = {key: value for key, value in member.members().items() if key not in ("$version", "$metadata")}
    validate_patch(document, name=where)
    return document


def _information(member: Member) -> Json | None:
    if not member.given:
        return None
    # Free text about a device; the rules of a twin bound its depth and size.
    validate_patch(member.members(), name=member.path)
    return member.members()
