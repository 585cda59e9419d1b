"""What the configurations of a hub make of one device or module, read from the database, nothing changed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from skerry.contract.configuration import (
    Configuration,
    Content,
    Kind,
    Status,
    apply_parts,
    decide,
)
from skerry.contract.manifest import Manifest, parse_manifest
from skerry.contract.names import AGENT_MODULE, SYSTEM_MODULES, Identity, ModuleId
from skerry.contract.twin import difference, validate_patch
from skerry.errors import InvalidInput
from skerry.hub import configuration_rows, identity_rows, twin_documents, twin_rows
from skerry.hub.twin_documents import Presences
from skerry.store.storage import Transaction

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Decision:
    """The states and the content an identity is to have; ``problem`` says why content cannot be applied.

    ``holder`` is whose twin shows the states: ``$edgeAgent`` for an edge device.
    """

    identity: Identity
    holder: Identity
    statuses: Mapping[str, Status]
    removed: Sequence[str]
    changed: bool
    content: Content | None = None
    digest: str | None = None
    manifest: Manifest | None = None
    problem: str = ""


def plan(
    connection: Transaction,
    identity: Identity,
    configurations: Sequence[Configuration],
    presences: Presences,
) -> Decision | None:
    """What is to become of an identity; ``None`` when it is gone."""
    row = identity_rows.find(connection, identity)
    if row is None:
        return None
    kind = _kind(identity, iot_edge=row.iot_edge)
    document = twin_documents.load(connection, identity).document(presences)
    mine = [c for c in configurations if c.kind is kind]
    outcome = decide([c for c in mine if c.targets(document)])
    holder = Identity(identity.device, ModuleId(AGENT_MODULE)) if kind is Kind.EDGE else identity
    known = configuration_rows.states(connection, holder)
    # $edgeAgent may also be the target of a module configuration: those states are not ours.
    foreign = {c.id for c in configurations if c.kind is not kind}
    problem, manifest = "", None
    try:
        manifest = _checked(kind, outcome.content)
    except InvalidInput as exc:
        problem = str(exc)
    statuses = dict.fromkeys(outcome.statuses, Status.TARGETED) if problem else dict(outcome.statuses)
    content = None if problem else outcome.content
    digest = None if content is None else _digest(content)
    removed = sorted(known.keys() - statuses.keys() - foreign)
    ours = {name: status for name, status in known.items() if name not in foreign}
    due = digest != configuration_rows.digest(connection, identity)
    return Decision(
        identity,
        holder,
        statuses,
        removed,
        due or ours != statuses,
        content if due else None,
        digest,
        manifest,
        problem,
    )


def describe(connection: Transaction, decision: Decision) -> Json:
    """The decision for people: states before and after, and the patch to each module's desired properties."""
    known = configuration_rows.states(connection, decision.holder)
    names = sorted({*known, *decision.statuses})
    said: Json = {
        "deviceId": str(decision.identity.device),
        **({} if decision.identity.module is None else {"moduleId": str(decision.identity.module)}),
        "configurations": {
            name: {"before": _word(known.get(name)), "after": _word(decision.statuses.get(name))}
            for name in names
        },
        "changes": _changes(connection, decision),
    }
    return {**said, "problem": decision.problem} if decision.problem else said


def _changes(connection: Transaction, decision: Decision) -> Json:
    if decision.content is None:
        return {}
    device = decision.identity.device
    if decision.manifest is None:
        old = twin_rows.load(connection, decision.identity).desired.values
        parts = next(iter(decision.content.values()))
        return {str(decision.identity): difference(old, apply_parts(old, parts))}
    have = {str(row.identity.module): row for row in identity_rows.modules_of(connection, device)}
    wanted = {*decision.manifest.modules, *decision.manifest.agent.modules}
    changes: Json = {}
    for name in sorted(wanted):
        new = decision.manifest.modules.get(name)
        exists = name in have
        old = twin_rows.load(connection, Identity(device, ModuleId(name))).desired.values if exists else {}
        patch = {} if new is None else difference(old, new)
        if patch or not exists:
            changes[name] = patch
    gone = [n for n, row in have.items() if row.managed_by and n not in wanted and n not in SYSTEM_MODULES]
    return {**changes, **dict.fromkeys(sorted(gone))}


def _kind(identity: Identity, *, iot_edge: bool) -> Kind:
    if identity.module is not None:
        return Kind.MODULE
    return Kind.EDGE if iot_edge else Kind.DEVICE


def _checked(kind: Kind, content: Content | None) -> Manifest | None:
    """The manifest in a merged edge content; raises InvalidInput when layers made it illegal."""
    if content is None or kind is not Kind.EDGE:
        return None
    manifest = parse_manifest(content)
    for name in manifest.modules.keys() - SYSTEM_MODULES:
        validate_patch(manifest.modules[name], name=f"modulesContent.{name}.properties.desired")
    return manifest


def _digest(content: Content) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _word(status: Status | None) -> str | None:
    return None if status is None else status.value
