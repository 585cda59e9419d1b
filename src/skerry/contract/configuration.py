"""A deployment at scale: whom it is for, what it brings, how several become one (contract.md §4.3, §6.11)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any

from skerry.contract.json_text import Json, check_depth, compact
from skerry.contract.manifest import DESIRED, parse_manifest
from skerry.contract.member import Member
from skerry.contract.names import AGENT_MODULE, ModuleId
from skerry.contract.query import (
    Collection,
    Document,
    Query,
    QuerySyntaxError,
    holds,
    parse_query,
    parse_target,
)
from skerry.errors import InvalidInput, TooLarge

_ID = re.compile(r"[a-z0-9\-+%_*!']{1,128}")
CONTENT_BYTES_MAX = 256 * 1024
PRIORITY_MAX = 2**31 - 1
LABELS_MAX = 50
METRICS_MAX = 20
TEXT_CHARS_MAX = 512
SCHEMA_VERSION_DEFAULT = "2.0"
CONTENT_TYPE = "assignment"

Content = dict[str, Any]


class Kind(Enum):
    """What a configuration configures."""

    EDGE = "modulesContent"
    DEVICE = "deviceContent"
    MODULE = "moduleContent"


class Status(Enum):
    """How a configuration stands with one of those it is for."""

    TARGETED = "Targeted"
    APPLIED = "Applied"


@dataclass(frozen=True, slots=True)
class Configuration:
    """A checked configuration; ``content`` is verbatim, ``target`` None is for nobody."""

    id: str
    content: Content
    kind: Kind
    target_condition: str = ""
    target: Query | None = None
    priority: int = 0
    labels: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, str] = field(default_factory=dict)
    schema_version: str = SCHEMA_VERSION_DEFAULT
    created: str = ""
    updated: str = ""
    etag: str = ""

    @property
    def layered(self) -> bool:
        """Whether it only adds to a base: an edge deployment without a whole ``$edgeAgent``."""
        agent = self.content[self.kind.value].get(AGENT_MODULE) if self.kind is Kind.EDGE else {}
        return self.kind is Kind.EDGE and not (isinstance(agent, dict) and DESIRED in agent)

    @property
    def rank(self) -> tuple[int, str, str]:
        """Larger wins; of two with one priority the newer."""
        return self.priority, self.created, self.id

    def targets(self, document: Document) -> bool:
        """Whether the device or module with this twin is one it is for."""
        if self.target is None or not holds(self.target.condition, document):
            return False
        iot_edge = (document.get("capabilities") or {}).get("iotEdge") is True
        if self.kind is Kind.MODULE:
            return "moduleId" in document
        return "moduleId" not in document and iot_edge is (self.kind is Kind.EDGE)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What is to become of one device or module: ``content`` None leaves it as it is."""

    content: Content | None
    statuses: Mapping[str, Status]


def parse_configuration(document: Json, url_id: str) -> Configuration:
    """The configuration a service sends; InvalidInput with ``path`` (and ``position`` in a query)."""
    check_depth(document)
    root = Member("", document)
    if not _ID.fullmatch(url_id):
        Member("id", url_id).refuse("1 to 128 of a-z 0-9 - + % _ * ! '")
    if root["id"].given and root["id"].value != url_id:
        root["id"].refuse(f"the id in the URL, {url_id}")
    kind, content = _content(root["content"])
    condition = root["targetCondition"]
    text = condition.text(blank=True) if condition.given else ""
    priority, version = root["priority"], root["schemaVersion"]
    metrics = root["metrics"]
    return Configuration(
        id=url_id,
        content=content,
        kind=kind,
        target_condition=text,
        target=_target(condition, text, kind),
        priority=priority.integer(0, PRIORITY_MAX) if priority.given else 0,
        labels=_texts(root["labels"], LABELS_MAX),
        metrics=_queries(metrics["queries"] if metrics.given else metrics),
        schema_version=version.text() if version.given else SCHEMA_VERSION_DEFAULT,
    )


def parse_content(document: Json) -> tuple[Kind, Content]:
    """The content that a service applies to one device or module; InvalidInput with ``path``."""
    check_depth(document)
    return _content(Member("", document))


def parse_test(document: Json) -> tuple[str | None, dict[str, str]]:
    """What is wrong with a target condition and metric queries: ``None`` and nothing when all are right."""
    check_depth(document)
    root = Member("", document)
    condition = root["targetCondition"]
    error = query_error(condition.text(blank=True), target=True) if condition.given else None
    found = {
        name: query_error(text) for name, text in _texts(root["customMetricQueries"], METRICS_MAX).items()
    }
    return error, {name: text for name, text in found.items() if text is not None}


def query_error(text: str, *, target: bool = False) -> str | None:
    """Why a query, or a target condition, cannot be understood."""
    try:
        parse_target(text) if target else parse_query(text)
    except QuerySyntaxError as exc:
        return exc.what
    return None


def updated(old: Configuration, new: Configuration, now: str, etag: str) -> Configuration:
    """``old`` with what an update may change; the content stays what it was created with (§4.3)."""
    return replace(new, content=old.content, kind=old.kind, created=old.created, updated=now, etag=etag)


def configuration_document(configuration: Configuration) -> Content:
    """What a service sends to make this configuration; ``parse_configuration`` reads it back."""
    return {
        "schemaVersion": configuration.schema_version,
        "labels": dict(configuration.labels),
        "content": configuration.content,
        "targetCondition": configuration.target_condition,
        "priority": configuration.priority,
        "metrics": {"queries": dict(configuration.metrics)},
    }


def configuration_json(
    configuration: Configuration, system: Mapping[str, int], custom: Mapping[str, int]
) -> Content:
    """The Configuration of the service API; the counts are those of the metrics."""
    return {
        **configuration_document(configuration),
        "id": configuration.id,
        "contentType": CONTENT_TYPE,
        "createdTimeUtc": configuration.created,
        "lastUpdatedTimeUtc": configuration.updated,
        "systemMetrics": {"results": dict(system), "queries": system_queries(configuration)},
        "metrics": {"results": dict(custom), "queries": dict(configuration.metrics)},
        "etag": configuration.etag,
    }


def system_queries(configuration: Configuration) -> dict[str, str]:
    """The metric queries every configuration has, as Azure's fixtures show them (contract.md §4.3)."""
    target = configuration.target
    collection = target.collection.value if target else Collection.DEVICES.value
    text = configuration.target_condition.strip()
    applied_to = f"configurations.[[{configuration.id}]].status = 'Applied'"
    if configuration.kind is not Kind.EDGE:
        where = text.split(maxsplit=2)[-1] if text.upper().startswith("FROM") else _where(text, "")
        return {
            "targetedCount": f"select deviceId from {collection} {where}".strip(),
            "appliedCount": f"select deviceId from {collection} where {applied_to}",
        }
    applied = f"select deviceId from devices.modules where moduleId = '{AGENT_MODULE}' and {applied_to}"
    reported = "properties.desired.$version = properties.reported.lastDesiredVersion"
    code = "properties.reported.lastDesiredStatus.code"
    return {
        "targetedCount": f"select deviceId from devices {_where(text, 'capabilities.iotEdge = true')}",
        "appliedCount": applied,
        "reportedSuccessfulCount": f"{applied} and {reported} and {code} = 200",
        "reportedFailedCount": f"{applied} and {reported} and {code} != 200",
    }


def decide(matching: Sequence[Configuration]) -> Outcome:
    """What configurations that target the same device or module make of it together.

    The highest base applies; layers above it are merged on top in ascending order; what is below, or has no
    base, stays Targeted. Device and module configurations: the highest applies.
    """
    ranked = sorted(matching, key=lambda configuration: configuration.rank)
    statuses = {configuration.id: Status.TARGETED for configuration in ranked}
    bases = [at for at, configuration in enumerate(ranked) if not configuration.layered]
    if not bases:
        return Outcome(None, statuses)
    base, *layers = ranked[bases[-1] :]
    for configuration in (base, *layers):
        statuses[configuration.id] = Status.APPLIED
    content = base.content[base.kind.value]
    for layer in layers:
        content = merge_layer(content, layer.content[layer.kind.value])
    return Outcome({base.kind.value: content}, statuses)


def merge_layer(base: Content, layer: Content) -> Content:
    """``base`` (modules by name) with what ``layer`` says at its paths; objects there are replaced."""
    result = dict(base)
    for module, parts in layer.items():
        merged = {DESIRED: whole(result.get(module, {}))}
        for key in sorted(parts, key=len):
            merged[DESIRED] = put(merged[DESIRED], _steps(key), parts[key])
        result[module] = merged
    return result


def whole(parts: Content) -> Content:
    """The desired properties that the keys ``properties.desired[.a.b]`` of a content make together."""
    desired: Content = {}
    for key in sorted(parts, key=len):
        desired = put(desired, _steps(key), parts[key])
    return desired


def put(document: Content, steps: Sequence[str], value: Json) -> Content:
    """``document`` with ``value`` at this path, copied along it; null removes."""
    if not steps:
        return dict(value)
    first, *rest = steps
    child = document.get(first)
    if rest:
        return {**document, first: put(child if isinstance(child, dict) else {}, rest, value)}
    if value is None:
        return {name: old for name, old in document.items() if name != first}
    return {**document, first: value}


def apply_parts(desired: Content, content: Content) -> Content:
    """Desired properties after a device's or module's content was written into them."""
    for key in sorted(content, key=len):
        desired = put(desired, _steps(key), content[key])
    return desired


def _where(text: str, also: str) -> str:
    conditions = [also] * bool(also) + [f"({text})"] * (text not in ("", "*"))
    return f"where {' and '.join(conditions)}" if conditions else ""


def _steps(key: str) -> list[str]:
    return [] if key == DESIRED else key.removeprefix(f"{DESIRED}.").split(".")


def _content(member: Member) -> tuple[Kind, Content]:
    content = member.members()
    kinds = [kind for kind in Kind if member[kind.value].given]
    if len(kinds) != 1:
        member.refuse(f"one of {', '.join(kind.value for kind in Kind)}")
    size = len(compact(content).encode("utf-8", "surrogatepass"))
    if size > CONTENT_BYTES_MAX:
        raise TooLarge("the content is too large", path=member.path, bytes=size, bytes_max=CONTENT_BYTES_MAX)
    kind = kinds[0]
    parts = member[kind.value]
    if kind is Kind.EDGE:
        for module, entry in parts:
            _check_module(module, entry)
        if DESIRED in (content[kind.value].get(AGENT_MODULE) or {}):
            parse_manifest({kind.value: content[kind.value]})
    else:
        _check_parts(parts)
    return kind, content


def _check_module(module: str, entry: Member) -> None:
    try:
        ModuleId(module)
    except InvalidInput as exc:
        raise InvalidInput(exc.what, hint=exc.hint, path=entry.path, value=module) from exc
    _check_parts(entry)


def _check_parts(parts: Member) -> None:
    for key, value in parts:
        if key != DESIRED and not (key.startswith(f"{DESIRED}.") and all(_steps(key))):
            value.refuse(f"{DESIRED} or a longer key that starts with it")
        if key == DESIRED:
            value.members()


def _target(member: Member, text: str, kind: Kind) -> Query | None:
    try:
        target = parse_target(text)
    except QuerySyntaxError as exc:
        exc.fields["path"] = member.path
        raise
    wanted = Collection.MODULES if kind is Kind.MODULE else Collection.DEVICES
    if target is not None and target.collection is not wanted:
        member.refuse(f"a condition on {wanted.value}")
    return target


def _texts(member: Member, most: int) -> dict[str, str]:
    if not member.given:
        return {}
    if len(member.members()) > most:
        member.refuse(f"at most {most} entries")
    found = {name: entry.text(blank=True) for name, entry in member}
    for name, text in found.items():
        if len(name) > TEXT_CHARS_MAX or len(text) > TEXT_CHARS_MAX * 16:
            member[name].refuse("less text")
    return found


def _queries(member: Member) -> dict[str, str]:
    found = _texts(member, METRICS_MAX)
    for name, text in found.items():
        try:
            parse_query(text)
        except QuerySyntaxError as exc:
            exc.fields["path"] = f"{member.path}.{name}"
            raise
    return found
