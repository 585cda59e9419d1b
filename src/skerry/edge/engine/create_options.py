"""The Docker Engine create-container document of a manifest, read for each kind of engine.

Source of the shape: Docker Engine API 1.41, ``ContainerCreate``; the keys tutorials use are in
contract.md §6.2.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from skerry.edge.engine.port import LABEL_ORIGINAL_IMAGE, LABEL_OWNER, OWNER, RunSpec
from skerry.errors import InvalidInput

Json = Any


@dataclass(frozen=True)
class Bind:
    """One ``source:target[:ro]`` of ``HostConfig.Binds``."""

    source: str
    target: str
    read_only: bool


def environment(create_options: Mapping[str, Json], env: Mapping[str, str]) -> dict[str, str]:
    """``Env`` of the document, overlaid by the manifest's ``env``."""
    merged: dict[str, str] = {}
    for index, item in enumerate(_strings(create_options, "Env")):
        name, equals, value = item.partition("=")
        if not name:
            raise InvalidInput(
                f"createOptions.Env[{index}] has no name: {item!r}",
                hint="write NAME=value",
                path=f"createOptions.Env[{index}]",
                value=item,
            )
        if equals:
            merged[name] = value
    return {**merged, **env}


def command(create_options: Mapping[str, Json], key: str) -> list[str] | None:
    """``Cmd`` or ``Entrypoint``: ``None`` when the image's own is to be used. A string is one word."""
    value = create_options.get(key)
    if value is None:
        return None
    if isinstance(value, str):
        return [value]
    return _strings(create_options, key)


def binds(create_options: Mapping[str, Json]) -> list[Bind]:
    """``HostConfig.Binds``."""
    found = []
    for index, text in enumerate(_strings(host_config(create_options), "Binds")):
        parts = text.split(":")
        if len(parts) not in (2, 3) or not parts[1].startswith("/"):
            raise InvalidInput(
                f"createOptions.HostConfig.Binds[{index}] is not source:target[:ro]: {text!r}",
                hint="the target is an absolute path in the container",
                path=f"createOptions.HostConfig.Binds[{index}]",
                value=text,
            )
        found.append(Bind(parts[0], parts[1], "ro" in parts[2].split(",") if len(parts) == 3 else False))
    return found


def host_config(create_options: Mapping[str, Json]) -> Mapping[str, Json]:
    """``HostConfig``, empty when absent."""
    value = create_options.get("HostConfig") or {}
    if not isinstance(value, Mapping):
        raise InvalidInput(
            "createOptions.HostConfig is not an object", path="createOptions.HostConfig", value=str(value)
        )
    return value


def mounts(create_options: Mapping[str, Json]) -> list[Bind]:
    """``HostConfig.Mounts`` of the types bind and volume; a volume's source is its name."""
    found = []
    for index, mount in enumerate(host_config(create_options).get("Mounts") or []):
        path = f"createOptions.HostConfig.Mounts[{index}]"
        if not isinstance(mount, Mapping) or not str(mount.get("Target", "")).startswith("/"):
            raise InvalidInput(f"{path} has no absolute Target", path=path, value=str(mount)[:200])
        if mount.get("Type", "volume") in ("bind", "volume"):
            found.append(Bind(str(mount.get("Source", "")), mount["Target"], bool(mount.get("ReadOnly"))))
    return found


def scratch(create_options: Mapping[str, Json]) -> list[str]:
    """The folders that ``Tmpfs`` and ``Mounts`` of type tmpfs ask for."""
    host = host_config(create_options)
    typed = [m["Target"] for m in host.get("Mounts") or [] if m.get("Type") == "tmpfs"]
    return [*(host.get("Tmpfs") or {}), *typed]


def devices(create_options: Mapping[str, Json]) -> list[tuple[str, str]]:
    """``HostConfig.Devices``: path on the host, path in the module."""
    found = []
    for index, device in enumerate(host_config(create_options).get("Devices") or []):
        source = device.get("PathOnHost") if isinstance(device, Mapping) else None
        if not isinstance(source, str) or not source.startswith("/"):
            path = f"createOptions.HostConfig.Devices[{index}].PathOnHost"
            raise InvalidInput(f"{path} is not an absolute path", path=path, value=str(source))
        found.append((source, str(device.get("PathInContainer") or source)))
    return found


def container_config(spec: RunSpec, network: str) -> dict[str, Json]:
    """The document for Docker's create call: the manifest's, plus what the runtime adds.

    Added as Azure IoT Edge does: environment, owner labels, the mounts, membership of ``network`` with the
    module's name as alias; a log rotation unless the manifest sets its own; names of ``spec.hosts``.
    """
    options = dict(spec.create_options)
    host = dict(host_config(options))
    mounts = list(host.get("Mounts") or [])
    for mount in spec.mounts:
        mounts.append(
            {"Type": "bind", "Source": mount.source, "Target": mount.target, "ReadOnly": mount.read_only}
        )
    host["Mounts"] = mounts
    host["ExtraHosts"] = [
        *(host.get("ExtraHosts") or []),
        *(f"{n}:{a}" for n, a in sorted(spec.hosts.items())),
    ]
    host.setdefault(
        "LogConfig",
        {
            "Type": "json-file",
            "Config": {"max-size": str(spec.log_limits.file_bytes), "max-file": str(spec.log_limits.files)},
        },
    )
    own_network = host.get("NetworkMode") or network
    host["NetworkMode"] = own_network
    # The agent restarts modules by the manifest's policy; the engine's own would fight it, or remove them.
    host["RestartPolicy"] = {"Name": ""}
    host["AutoRemove"] = False
    options.update(
        Image=spec.image,
        Env=[f"{name}={value}" for name, value in environment(options, spec.env).items()],
        Labels={
            **(options.get("Labels") or {}),
            LABEL_OWNER: OWNER,
            LABEL_ORIGINAL_IMAGE: spec.image,
            **spec.labels,
        },
        HostConfig=host,
    )
    if own_network == network and "NetworkingConfig" not in options:
        options["NetworkingConfig"] = {"EndpointsConfig": {network: {"Aliases": [spec.name]}}}
    return options


def _strings(document: Mapping[str, Json], key: str) -> list[str]:
    value = document.get(key) or []
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise InvalidInput(
            f"createOptions {key} is not a list of strings",
            path=f"createOptions.{key}",
            value=str(value)[:200],
        )
    return value
