"""What an IoT Hub of Azure would refuse of what a Skerry hub takes, and why."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from skerry.contract.configuration import Kind, parse_configuration, whole
from skerry.contract.hub_limits import AZURE
from skerry.contract.json_text import compact
from skerry.contract.manifest import DESIRED, parse_manifest
from skerry.contract.member import Member
from skerry.contract.names import AGENT_MODULE, HUB_MODULE, SYSTEM_MODULES
from skerry.contract.query import parse_query, parse_target
from skerry.contract.query_expression import (
    ArrayContains,
    Collection,
    Expression,
    Logic,
    Not,
    Query,
    TextTest,
    Type,
    TypeTest,
)
from skerry.contract.twin import validate_patch
from skerry.errors import InvalidInput, SkerryError, TooLarge

# Azure's table of quotas for IoT Edge deployments.
MODULES_MAX = 50
# Of twin queries Azure documents IS_DEFINED only; Microsoft's own tools use these two as well.
_KNOWN_TESTS = ("STARTSWITH",)


@dataclass(frozen=True, slots=True)
class Finding:
    """``path`` is where in the document, or empty; ``why`` is Azure's rule."""

    path: str
    what: str
    why: str


def lint(document: Any) -> list[Finding]:
    """Of a manifest, a configuration or a twin patch. Raises InvalidInput for what is none of them."""
    root = Member("", document)
    if any(root[name].given for name in ("targetCondition", "priority", "metrics")) and root["content"].given:
        return list(_caught(_configuration(document)))
    inner = root["content"] if root["content"].given else root
    if any(inner[kind.value].given for kind in Kind):
        return list(_caught(_content(inner.members(), inner.path)))
    if root["tags"].given or root["properties"].given:
        return list(_caught(_twin(root)))
    raise InvalidInput(
        "neither a manifest, nor a configuration, nor a twin",
        hint="give modulesContent, content, tags or properties",
    )


def lint_query(text: str) -> list[Finding]:
    """Of a whole query; raises QuerySyntaxError for what no hub takes."""
    query = parse_query(text)
    return [*_jobs(query), *_condition(query.condition)]


def lint_target(text: str) -> list[Finding]:
    """Of a target condition; raises QuerySyntaxError."""
    target = parse_target(text)
    return [] if target is None else list(_condition(target.condition))


def _caught(findings: Iterator[Finding]) -> Iterator[Finding]:
    """What we refuse ourselves is refused there as well."""
    try:
        yield from findings
    except SkerryError as error:
        yield Finding(str(error.fields.get("path", "")), error.what, error.hint or "no hub takes this")


def _configuration(document: Any) -> Iterator[Finding]:
    found = parse_configuration(document, str(document.get("id", "lint")).lower() or "lint")
    yield from _content(found.content, "content")
    if found.target is not None:
        yield from _condition(found.target.condition)
    for name, text in found.metrics.items():
        for finding in lint_query(text):
            yield Finding(f"metrics.queries.{name}", finding.what, finding.why)
    if not found.target_condition.strip():
        yield Finding(
            "targetCondition", "it is empty: no device is targeted", "Azure takes it and does nothing"
        )


def _content(content: dict[str, Any], path: str) -> Iterator[Finding]:
    for kind in Kind:
        if content.get(kind.value) is None:
            continue
        where = f"{path}.{kind.value}" if path else kind.value
        parts = content[kind.value]
        if kind is Kind.EDGE or AGENT_MODULE in parts:
            yield from _modules(parts, where)
        else:
            yield from _section(whole(parts), f"{where}.{DESIRED}")


def _modules(parts: dict[str, Any], path: str) -> Iterator[Finding]:
    agent = parts.get(AGENT_MODULE) or {}
    if DESIRED in agent:
        manifest = parse_manifest({"modulesContent": parts})
        count = len(manifest.agent.modules)
        if count > MODULES_MAX:
            yield Finding(
                f"{path}.{AGENT_MODULE}",
                f"{count} modules",
                f"a deployment has at most {MODULES_MAX} modules",
            )
        if HUB_MODULE not in parts:
            yield Finding(
                path, "there is no $edgeHub", "a deployment that is no layer needs both system modules"
            )
        yield from _unknown_modules(manifest.modules.keys(), set(manifest.agent.modules), path)
        if "1.0" in (manifest.agent.schema_version,):
            yield from _needs_newer(agent[DESIRED], f"{path}.{AGENT_MODULE}.{DESIRED}")
    for name, module in parts.items():
        yield from _section(whole(module), f"{path}.{name}.{DESIRED}")


def _unknown_modules(named: Any, deployed: set[str], path: str) -> Iterator[Finding]:
    for name in sorted(set(named) - deployed - SYSTEM_MODULES):
        yield Finding(
            f"{path}.{name}",
            "desired properties for a module that is not deployed",
            "Azure applies content only to modules that $edgeAgent names or that exist",
        )


def _needs_newer(desired: dict[str, Any], path: str) -> Iterator[Finding]:
    for group in ("systemModules", "modules"):
        for name, module in (desired.get(group) or {}).items():
            if isinstance(module, dict) and "startupOrder" in module:
                yield Finding(
                    f"{path}.{group}.{name}.startupOrder", "startupOrder", "it needs schemaVersion 1.1"
                )


def _twin(root: Member) -> Iterator[Finding]:
    if root["tags"].given:
        yield from _section(root["tags"].members(), "tags", AZURE.tags_bytes)
    properties = root["properties"]
    desired = properties["desired"] if properties.given else properties
    if desired.given:
        yield from _section(desired.members(), "properties.desired")


def _section(values: dict[str, Any], path: str, bytes_max: int = AZURE.section_bytes) -> Iterator[Finding]:
    """Azure's rules for what a twin may hold, which also hold for the twins of the system modules."""
    try:
        validate_patch(values, name=path)
    except TooLarge:
        yield Finding(path, f"{_size(values)} bytes of JSON", f"a twin's section holds {bytes_max} bytes")
        return
    except InvalidInput as error:
        yield Finding(str(error.fields.get("path", path)), error.what, error.hint or "no twin may hold it")
        return
    if _size(values) > bytes_max:
        yield Finding(path, f"{_size(values)} bytes of JSON", f"this part of a twin holds {bytes_max} bytes")


def _size(values: dict[str, Any]) -> int:
    return len(compact(values).encode("utf-8", "surrogatepass"))


def _jobs(query: Query) -> Iterator[Finding]:
    if query.collection is not Collection.JOBS:
        return
    if query.projections or query.groups:
        yield Finding(
            "", "a projection or aggregate over devices.jobs", "of jobs Azure answers SELECT * only"
        )


def _condition(expression: Expression | None) -> Iterator[Finding]:
    match expression:
        case Logic(_, operands):
            for operand in operands:
                yield from _condition(operand)
        case Not(operand):
            yield from _condition(operand)
        case TextTest(function, _, _) if function.upper() not in _KNOWN_TESTS:
            yield _undocumented(function.upper())
        case TypeTest(kind, _) if kind is not Type.DEFINED:
            yield _undocumented(kind.value)
        case ArrayContains() | None:
            return


def _undocumented(function: str) -> Finding:
    return Finding(
        "",
        f"the function {function}",
        "for queries of twins Azure documents IS_DEFINED only; it may be refused",
    )
