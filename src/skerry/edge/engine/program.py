"""What a process module runs, from its image and its create options."""

from __future__ import annotations

import posixpath
import re
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from skerry.edge.engine.create_options import (
    binds,
    command,
    devices,
    environment,
    host_config,
    mounts,
    scratch,
)
from skerry.edge.engine.rootfs import Image
from skerry.edge.engine.sandbox import Program
from skerry.errors import InvalidInput

_SIZE = re.compile(r"(\d+)\s*([bkmg]?)b?", re.IGNORECASE)
_UNITS = {"": 1, "b": 1, "k": 1024, "m": 1024**2, "g": 1024**3}
# Names of volumes, as Docker takes them.
_VOLUME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")


def program_of(
    document: Mapping[str, Any],
    image: Image,
    *,
    run: str,
    mark: str,
    hosts_file: Path,
    volumes: Path,
    own_volumes: Path,
) -> Program:
    """The program of a module's document. InvalidInput where the options make no sense.

    A bind or mount whose source is no path is a volume: a folder of its own below ``volumes``. One that only
    the image declares lies below ``own_volumes`` and goes with the module, as Docker's anonymous volumes do.
    """
    options = document["createOptions"]
    entrypoint, words = command(options, "Entrypoint"), command(options, "Cmd")
    # Docker's rule: an entrypoint of one's own also drops the image's Cmd.
    own = [*entrypoint, *(words or [])] if entrypoint is not None else None
    argv = own or [*image.entrypoint, *(image.cmd if words is None else words)]
    if not argv:
        raise InvalidInput("neither the image nor the manifest says what to run", path="createOptions.Cmd")
    user, group = _user(str(options.get("User") or image.user), image.root)
    env = {**image.env, **environment(options, document["env"])}
    env.setdefault("HOME", "/tmp")
    asked = [*binds(options), *mounts(options)]
    taken = {posixpath.normpath(path) for path in (*(one.target for one in asked), *scratch(options))}
    declared = [path for path in image.volumes if posixpath.normpath(path) not in taken]
    return Program(
        root=image.root,
        argv=argv,
        env={**env, mark: run},
        working_dir=options.get("WorkingDir") or image.working_dir or "/",
        user=user,
        group=group,
        mounts=[
            *((m[0], m[1], m[2]) for m in document["mounts"]),
            *((str(own_volumes / path.strip("/").replace("/", "-")), path, False) for path in declared),
            *((_source(one.source, volumes), one.target, one.read_only) for one in asked),
        ],
        hosts_file=hosts_file,
        hostname=str(options.get("Hostname") or document["name"].lstrip("$")),
        devices=devices(options),
        scratch=scratch(options),
        network=host_config(options).get("NetworkMode") != "none",
    )


def log_bytes(options: Mapping[str, Any], default: int) -> int:
    """How long a log may get: ``LogConfig``'s ``max-size`` times ``max-file``, where it says so."""
    config = (host_config(options).get("LogConfig") or {}).get("Config") or {}
    if (size := config.get("max-size")) is None:
        return default
    if (found := _SIZE.fullmatch(str(size))) is None:
        path = "createOptions.HostConfig.LogConfig.Config.max-size"
        raise InvalidInput(f"{path} is no size: {size!r}", hint="write 10m", path=path, value=str(size))
    files = str(config.get("max-file", "1"))
    return int(found[1]) * _UNITS[found[2].lower()] * (int(files) if files.isdecimal() else 1)


def stop_signal(document: Mapping[str, Any]) -> int:
    """The signal that asks the module to end: ``StopSignal`` of its options or its image."""
    text = str(document.get("stopSignal") or "SIGTERM").upper()
    if text.isdecimal():
        return int(text)
    found = signal.Signals.__members__.get(text if text.startswith("SIG") else f"SIG{text}")
    return signal.SIGTERM if found is None else found


def _source(source: str, volumes: Path) -> str:
    if source.startswith("/"):
        return source
    if not _VOLUME.fullmatch(source):
        raise InvalidInput(
            f"{source!r} is neither a path nor the name of a volume", hint="write an absolute path"
        )
    return str(volumes / source)


def _user(text: str, root: Path) -> tuple[int | None, int | None]:
    """``uid[:gid]`` or names that the image's ``/etc/passwd`` and ``/etc/group`` know."""
    user, _, group = text.partition(":")
    if not user:
        return None, None
    uid, primary = _lookup(user, root / "etc/passwd", "User")
    gid = _lookup(group, root / "etc/group", "User")[0] if group else primary
    return uid, gid


def _lookup(name: str, file: Path, key: str) -> tuple[int, int | None]:
    if name == "root":
        return 0, 0
    lines = file.read_text(errors="replace").splitlines() if file.is_file() else []
    for line in lines:
        fields = line.split(":")
        if len(fields) > 3 and (fields[0] == name or fields[2] == name):
            return int(fields[2]), int(fields[3]) if fields[3].isdecimal() else None
    if name.isdecimal():
        return int(name), None
    raise InvalidInput(
        f"the image knows no user or group {name!r}", hint="use a number", path=f"createOptions.{key}"
    )
