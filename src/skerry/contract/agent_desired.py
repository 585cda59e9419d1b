"""What ``$edgeAgent`` is to run: the desired properties of its twin (contract.md §6.2)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from skerry.contract.json_text import Json, check_depth, parse_json
from skerry.contract.member import MISSING, Member
from skerry.contract.schema_version import read_schema_version
from skerry.errors import InvalidInput

STATUSES = ("running", "stopped")
RESTART_POLICIES = ("never", "on-failure", "on-unhealthy", "always")
IMAGE_PULL_POLICIES = ("on-create", "never")
RESTART_POLICY_DEFAULT = "on-unhealthy"
STARTUP_ORDER_MAX = 4_294_967_295  # also the default: last
# ``createOptions`` and its continuations ``createOptions01`` to ``createOptions99``.
CREATE_OPTIONS_CHUNKS_MAX = 99
CREATE_OPTIONS_CHARS_MAX = 32 * 1024
IMAGE_CHARS_MAX = 512
MODULES_MAX = 100

_MODULE_NAME = re.compile(r"[a-zA-Z0-9_-]{1,128}")
_ENV_NAME = re.compile(r"[^+#$\s.]+")
_CREDENTIAL_ID = re.compile(r"[^.$# ]+")
_LOG_CONFIG = 'the JSON text of a LogConfig: {"Type": "json-file", "Config": {"max-size": "10m"}}'
_CHUNK = re.compile(r"createOptions[0-9]+")


@dataclass(frozen=True, slots=True)
class ModuleSpec:
    """A module as wanted; ``create_options`` is Docker's create-container JSON."""

    name: str
    image: str
    create_options: dict[str, Json] = field(default_factory=dict)
    env: Mapping[str, str] = field(default_factory=dict)
    status: str = "running"
    restart_policy: str = RESTART_POLICY_DEFAULT
    image_pull_policy: str = "on-create"
    startup_order: int = STARTUP_ORDER_MAX
    version: str = ""


@dataclass(frozen=True, slots=True)
class RegistryCredentials:
    """How to log in to the image registry at ``address``."""

    address: str
    username: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class AgentDesired:
    """The checked desired properties of ``$edgeAgent``; ``raw`` is the document they came from.

    ``logging`` is Docker's LogConfig for modules that have none of their own (``loggingOptions``).
    """

    schema_version: str
    modules: Mapping[str, ModuleSpec]
    registry_credentials: Mapping[str, RegistryCredentials]
    raw: dict[str, Json] = field(repr=False)
    logging: Mapping[str, Json] = field(default_factory=dict)


def parse_agent_desired(document: object, *, path: str = "") -> AgentDesired:
    """The checked document; InvalidInput with ``path`` (below the given one), ``value`` and a hint.

    Another major schema version raises InvalidInput with ``code`` 412.
    """
    check_depth(document)
    root = Member(path, document)
    version = read_schema_version(root["schemaVersion"])
    runtime = root["runtime"]
    runtime["type"].one_of(["docker"])
    return AgentDesired(
        schema_version=version,
        modules=_modules(root, root["modules"]),
        registry_credentials=_credentials(runtime["settings"]),
        raw=root.members(),
        logging=_logging_options(runtime["settings"]),
    )


def _logging_options(settings: Member) -> Mapping[str, Json]:
    """``{"Type": …, "Config": {…}}`` out of the JSON text; empty without one (contract.md §6.2)."""
    if not settings.given or not (member := settings["loggingOptions"]).given or not member.text(blank=True):
        return {}
    try:
        found = parse_json(member.text())
    except InvalidInput:
        found = None
    if not isinstance(found, dict):
        member.refuse(_LOG_CONFIG)
    # Microsoft's agent reads it without regard to case.
    named = {name.lower(): value for name, value in found.items()}
    kind, config = named.get("type"), named.get("config") or {}
    texts = isinstance(config, dict) and all(isinstance(value, str) for value in config.values())
    if not isinstance(kind, str) or not kind or not texts:
        member.refuse(_LOG_CONFIG)
    return {"Type": kind, "Config": config}


def _modules(root: Member, modules: Member) -> dict[str, ModuleSpec]:
    _check_system_modules(root["systemModules"])
    if len(modules.members()) > MODULES_MAX:
        modules.refuse(f"at most {MODULES_MAX} modules")
    specs = {}
    for name, module in modules:
        if not _MODULE_NAME.fullmatch(name):
            module.refuse("a module name of 1 to 128 characters out of a-z A-Z 0-9 _ -")
        specs[name] = _module(name, module)
    return specs


def _check_system_modules(system: Member) -> None:
    """Their fields are for Microsoft's runtime; what is there must be right, so that it deploys there too."""
    if not system.given:
        return
    for name, module in system:
        if name not in ("edgeAgent", "edgeHub"):
            module.refuse("edgeAgent or edgeHub only")
        module["type"].one_of(["docker"])
        _image(module["settings"]["image"])
        _create_options(module["settings"])
        _env(module["env"])
        if name == "edgeHub":
            module["status"].one_of(["running"])
            module["restartPolicy"].one_of(RESTART_POLICIES)


def _module(name: str, module: Member) -> ModuleSpec:
    module["type"].one_of(["docker"])
    settings = module["settings"]
    return ModuleSpec(
        name=name,
        image=_image(settings["image"]),
        create_options=_create_options(settings),
        env=_env(module["env"]),
        status=module["status"].one_of(STATUSES),
        restart_policy=_optional(module["restartPolicy"], RESTART_POLICIES, RESTART_POLICY_DEFAULT),
        image_pull_policy=_optional(module["imagePullPolicy"], IMAGE_PULL_POLICIES, "on-create"),
        startup_order=_startup_order(module["startupOrder"]),
        version=module["version"].text(blank=True) if module["version"].given else "",
    )


def _optional(member: Member, allowed: tuple[str, ...], default: str) -> str:
    return member.one_of(allowed) if member.given else default


def _startup_order(member: Member) -> int:
    return member.integer(0, STARTUP_ORDER_MAX) if member.given else STARTUP_ORDER_MAX


def _image(member: Member) -> str:
    image = member.text()
    if len(image) > IMAGE_CHARS_MAX or any(char.isspace() or not char.isprintable() for char in image):
        member.refuse(f"an image reference of at most {IMAGE_CHARS_MAX} characters without blanks")
    return image


def _env(member: Member) -> dict[str, str]:
    if not member.given:
        return {}
    return {name: _env_value(name, entry) for name, entry in member}


def _env_value(name: str, entry: Member) -> str:
    if not _ENV_NAME.fullmatch(name):
        entry.refuse("a variable name without + # $ . and blanks")
    value = entry["value"]
    match value.value:
        case None:
            return ""
        case bool() as truth:
            return "true" if truth else "false"
        case str() | int() | float() as plain if "\0" not in str(plain):
            return str(plain)
    return "" if value.value is MISSING else value.refuse("a string, a number or a boolean")


def _create_options(settings: Member) -> dict[str, Json]:
    first = settings["createOptions"]
    chunks = [name for name in settings.members() if _CHUNK.fullmatch(name)]
    if isinstance(first.value, dict):
        if chunks:
            settings[chunks[0]].refuse("no continuation of createOptions given as an object")
        return first.value
    names = [f"createOptions{number:02}" for number in range(1, len(chunks) + 1)]
    text = first.text(blank=True) if first.given else ""
    for name in names:
        text += settings[name].text(blank=True)
    return _options_object(first, text)


def _options_object(member: Member, text: str) -> dict[str, Json]:
    if not text.strip():
        return {}
    if len(text) > CREATE_OPTIONS_CHARS_MAX:
        member.refuse(f"at most {CREATE_OPTIONS_CHARS_MAX} characters")
    try:
        options = parse_json(text)
    except InvalidInput as exc:
        position = exc.fields.get("position")
        member.refuse(f"the text of a JSON object ({exc.what})", position=position)
    if not isinstance(options, dict):
        member.refuse("the text of a JSON object")
    return options


def _credentials(settings: Member) -> dict[str, RegistryCredentials]:
    if not settings.given or not settings["registryCredentials"].given:
        return {}
    found = {}
    for name, entry in settings["registryCredentials"]:
        if not _CREDENTIAL_ID.fullmatch(name):
            entry.refuse("a name without . $ # and blanks")
        found[name] = _credential(entry)
    return found


def _credential(entry: Member) -> RegistryCredentials:
    address = entry["address"].text()
    if any(char.isspace() for char in address):
        entry["address"].refuse("an address without blanks")
    password = entry["password"]
    if not isinstance(password.value, str) or not password.value:
        # The value is not shown: it may be most of a secret.
        Member(password.path, MISSING if password.value is MISSING else None).refuse("a non-empty string")
    return RegistryCredentials(address, entry["username"].text(), password.value)
