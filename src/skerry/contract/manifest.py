"""A deployment manifest: what every module of an edge device is to be (contract.md §6.1)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from skerry.contract.agent_desired import (
    AgentDesired,
    ModuleSpec,
    RegistryCredentials,
    parse_agent_desired,
)
from skerry.contract.hub_desired import HubDesired, RouteSpec, parse_hub_desired
from skerry.contract.json_text import Json, check_depth
from skerry.contract.member import Member
from skerry.contract.names import AGENT_MODULE, HUB_MODULE, ModuleId
from skerry.errors import InvalidInput

__all__ = [
    "AgentDesired",
    "HubDesired",
    "Manifest",
    "ModuleSpec",
    "RegistryCredentials",
    "RouteSpec",
    "modules_content",
    "parse_agent_desired",
    "parse_hub_desired",
    "parse_manifest",
]

DESIRED = "properties.desired"


@dataclass(frozen=True, slots=True)
class Manifest:
    """A whole, checked deployment; ``modules`` holds each module's desired properties verbatim.

    Without ``$edgeHub`` in the document ``edge_hub`` is HubDesired(), which routes nothing.
    """

    modules: Mapping[str, dict[str, Json]]
    agent: AgentDesired
    edge_hub: HubDesired = field(default_factory=HubDesired)


def parse_manifest(document: object) -> Manifest:
    """The manifest in a JSON document; InvalidInput names ``path`` and ``value`` of the first rule broken.

    Takes ``modulesContent`` or the older ``moduleContent``, bare or inside ``content``.
    """
    check_depth(document)
    content = _content(Member("", document))
    modules = {name: _desired(name, module) for name, module in content}
    if AGENT_MODULE not in modules:
        content[AGENT_MODULE].refuse("the desired properties of $edgeAgent")
    agent = parse_agent_desired(modules[AGENT_MODULE], path=_path(content, AGENT_MODULE))
    if HUB_MODULE not in modules:
        return Manifest(modules, agent)
    return Manifest(modules, agent, parse_hub_desired(modules[HUB_MODULE], path=_path(content, HUB_MODULE)))


def modules_content(document: object) -> dict[str, Json]:
    """The ``modulesContent`` object of a manifest file, found but not checked: a layer is legal here too."""
    check_depth(document)
    return _content(Member("", document)).members()


def _path(content: Member, module: str) -> str:
    return f"{content.path}.{module}.{DESIRED}"


def _content(root: Member) -> Member:
    inner = root["content"] if root["content"].given else root
    old = inner["moduleContent"]
    content = old if old.given and not inner["modulesContent"].given else inner["modulesContent"]
    content.members()
    return content


def _desired(name: str, module: Member) -> dict[str, Json]:
    """A module's desired properties: the whole under ``properties.desired``, parts under longer keys."""
    try:
        ModuleId(name)
    except InvalidInput as exc:
        raise InvalidInput(exc.what, hint=exc.hint, path=module.path, value=name) from exc
    desired: dict[str, Json] = {}
    for key, member in sorted(module, key=lambda item: item[0]):
        if key == DESIRED:
            desired = dict(member.members())
        elif key.startswith(DESIRED + "."):
            desired = _with(desired, key.removeprefix(DESIRED + ".").split("."), member)
        else:
            member.refuse(f"{DESIRED} or a longer key that starts with it")
    return desired


def _with(desired: dict[str, Json], names: list[str], member: Member) -> dict[str, Json]:
    """``desired`` with the member at this path, copied along the path."""
    first, *rest = names
    if not first:
        member.refuse(f"names between the dots after {DESIRED}")
    if not rest:
        return {**desired, first: member.value}
    child = desired.get(first)
    return {**desired, first: _with(child if isinstance(child, dict) else {}, rest, member)}
