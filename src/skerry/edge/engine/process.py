"""Modules as supervised local processes, from the same images, with no container engine.

Each module has a folder in which everything about it stands, so that an agent that was killed finds its
modules again: ``spec.json`` (what to run), ``status.json`` (child process and exit code, written by
bubblewrap or by a two-line shell, never by us), ``log``.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import re
import shutil
import signal
import uuid
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from skerry.clock import Clock
from skerry.contract.manifest import RegistryCredentials
from skerry.edge.engine.create_options import binds, command, environment, process_cannot
from skerry.edge.engine.port import STOP_GRACE_S, Observed, RunSpec, Status
from skerry.edge.engine.rootfs import Image, ImageStore
from skerry.edge.engine.sandbox import Program, bubblewrap_argv, plain_argv, plain_env, resolve
from skerry.errors import InvalidInput, NotFound, Unavailable

log = logging.getLogger(__name__)

# Names a module's folder; Docker asks the same of a container's name.
NAME = re.compile(r"^\$?[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$")
# In the environment of every process we start: tells our process from a later one with the same id.
MARK = "SKERRY_RUN"
# The exit code shown when the machine went down with the module: nobody could write the real one.
EXIT_UNKNOWN = 255
# A fresh process reports its id within milliseconds; the bound is for a machine under heavy load.
START_WAIT_S = 10.0
POLL_S = 0.02
LOG_POLL_S = 0.2
READ_BYTES = 64 * 1024


@dataclass(frozen=True)
class Run:
    """What ``status.json`` says of the latest start."""

    pid: int | None
    exit_code: int | None
    started_at: float | None
    finished_at: float | None


class ProcessEngine:
    """The ``Engine`` port on plain processes; bubblewrap isolates them where it works."""

    name = "process"

    def __init__(self, *, state_dir: Path, images_dir: Path, bwrap: str | None, clock: Clock) -> None:
        self._modules = state_dir / "modules"
        self._modules.mkdir(parents=True, exist_ok=True)
        self._images = ImageStore(images_dir, state_dir / "images")
        self._bwrap = bwrap
        self._clock = clock
        self._changed: asyncio.Queue[str] = asyncio.Queue()
        self._watched: dict[int, int] = {}
        self._children: dict[str, asyncio.subprocess.Process] = {}

    @property
    def isolated(self) -> bool:
        """Whether modules run in bubblewrap."""
        return self._bwrap is not None

    async def pull(self, image: str, credentials: RegistryCredentials | None = None) -> None:
        await asyncio.to_thread(self._images.unpack, image)

    async def has_image(self, image: str) -> bool:
        return await asyncio.to_thread(self._images.is_unpacked, image)

    async def create(self, spec: RunSpec) -> None:
        if not NAME.match(spec.name):
            raise InvalidInput(f"a module cannot be called {spec.name!r}", path="name", value=spec.name)
        environment(spec.create_options, spec.env)
        binds(spec.create_options)
        image = await asyncio.to_thread(self._images.find, spec.image)
        await self.remove(spec.name)
        folder = self._modules / spec.name
        folder.mkdir(parents=True)
        # 0600: the environment may hold a secret the manifest gave.
        _write_private(folder / "spec.json", json.dumps(_spec_document(spec, image)))
        self._changed.put_nowait(spec.name)

    async def start(self, name: str) -> None:
        folder, document = self._folder(name)
        if self._alive(folder) is not None:
            return
        program = self._program(document)
        for source, target, _ in program.mounts:
            await asyncio.to_thread(_mount_point, program.root, source, target)
        await self._spawn(name, folder, program, document)
        log.info("module %s started as process %s", name, self._alive(folder))
        self._changed.put_nowait(name)

    async def stop(self, name: str, grace_s: float = STOP_GRACE_S) -> None:
        with contextlib.suppress(NotFound):
            folder, _ = self._folder(name)
            pid = self._alive(folder)
            if pid is not None:
                await self._end(folder, pid, grace_s)
                log.info("module %s stopped", name)
            child = self._children.pop(name, None)
            if child is not None:
                await child.wait()
            self._changed.put_nowait(name)

    async def remove(self, name: str) -> None:
        await self.stop(name)
        folder = self._modules / name
        if NAME.match(name) and folder.is_dir():
            await asyncio.to_thread(shutil.rmtree, folder)
            self._changed.put_nowait(name)

    async def observe(self) -> list[Observed]:
        seen = []
        for folder in sorted(self._modules.iterdir()):
            if (folder / "spec.json").exists():
                _bound_log(folder)
                seen.append(self._observed(folder))
        return seen

    async def logs(
        self, name: str, *, tail: int | None = None, since: float | None = None, follow: bool = False
    ) -> AsyncIterator[bytes]:
        folder, _ = self._folder(name)
        path = folder / "log"
        if since is not None and path.exists() and path.stat().st_mtime < since:
            return
        text = await asyncio.to_thread(path.read_bytes) if path.exists() else b""
        lines = text.splitlines()
        for line in lines if tail is None else lines[max(0, len(lines) - tail) :]:
            yield line
        position, rest = len(text), b""
        while follow:
            size = path.stat().st_size if path.exists() else 0
            if size < position:  # cut to its bound, or a new start
                position = 0
            if size == position:
                await self._clock.sleep(LOG_POLL_S)
                continue
            with path.open("rb") as file:
                file.seek(position)
                chunk = file.read(READ_BYTES)
            position += len(chunk)
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                yield line

    async def events(self) -> AsyncIterator[str]:
        for folder in self._modules.iterdir():
            self._watch(folder)
        while True:
            yield await self._changed.get()

    def unsupported(self, create_options: Mapping[str, Any]) -> list[str]:
        return process_cannot(create_options)

    def gateway_address(self) -> str:
        # Processes share the host's network.
        return "127.0.0.1"

    async def close(self) -> None:
        for descriptor in self._watched.values():
            asyncio.get_running_loop().remove_reader(descriptor)
            os.close(descriptor)
        self._watched.clear()

    def _folder(self, name: str) -> tuple[Path, dict[str, Any]]:
        folder = self._modules / name
        try:
            if not NAME.match(name):
                raise FileNotFoundError(name)
            return folder, json.loads((folder / "spec.json").read_text())
        except FileNotFoundError:
            raise NotFound(f"there is no module {name}", module=name) from None

    def _program(self, document: Mapping[str, Any]) -> Program:
        options, image = document["createOptions"], self._images.find(document["image"])
        entrypoint = command(options, "Entrypoint")
        words = command(options, "Cmd")
        # Docker's rule: an entrypoint of one's own also drops the image's Cmd.
        own = [*entrypoint, *(words or [])] if entrypoint is not None else None
        argv = own or [*image.entrypoint, *(image.cmd if words is None else words)]
        if not argv:
            raise InvalidInput(
                "neither the image nor the manifest says what to run", path="createOptions.Cmd"
            )
        env = {**image.env, **environment(options, document["env"])}
        env.setdefault("HOME", "/tmp")
        return Program(
            root=image.root,
            argv=argv,
            env={**env, MARK: document["run"]},
            working_dir=options.get("WorkingDir") or image.working_dir or "/",
            user=image.user,
            mounts=[
                *((m[0], m[1], m[2]) for m in document["mounts"]),
                *((b.source, b.target, b.read_only) for b in binds(options) if b.source.startswith("/")),
            ],
            hosts=document["hosts"],
            hostname=document["name"].lstrip("$"),
        )

    async def _spawn(self, name: str, folder: Path, program: Program, document: dict[str, Any]) -> None:
        document["run"] = uuid.uuid4().hex
        program = Program(**{**vars(program), "env": {**program.env, MARK: document["run"]}})
        _write_private(folder / "spec.json", json.dumps(document))
        status = os.open(folder / "status.json", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o600)
        output = os.open(folder / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        hosts = _hosts_file(program)
        try:
            if self._bwrap is not None:
                argv = bubblewrap_argv(self._bwrap, program, status_fd=status, hosts_fd=hosts)
                env = {"PATH": os.environ.get("PATH", os.defpath)}
            else:
                argv, env = plain_argv(program, status_file=folder / "status.json"), plain_env(program)
            env[MARK] = document["run"]
            try:
                child = await asyncio.create_subprocess_exec(
                    *argv,
                    env=env,
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    pass_fds=(status, hosts),
                    start_new_session=True,
                    cwd="/",
                )
            except OSError as exc:
                raise Unavailable(f"cannot start {name}: {exc}", module=name) from exc
        finally:
            for descriptor in (status, output, hosts):
                os.close(descriptor)
        self._children[name] = child
        document["monitor"] = child.pid
        _write_private(folder / "spec.json", json.dumps(document))
        await self._settle(name, folder, child)

    async def _settle(self, name: str, folder: Path, child: asyncio.subprocess.Process) -> None:
        deadline = self._clock.monotonic() + START_WAIT_S
        while self._clock.monotonic() < deadline:
            run = _read_run(folder)
            if run.pid is not None or run.exit_code is not None:
                self._watch(folder)
                return
            if child.returncode is not None:
                tail = b"\n".join((folder / "log").read_bytes().splitlines()[-3:]).decode(errors="replace")
                raise Unavailable(f"cannot start {name}: {tail}", module=name, exit_code=child.returncode)
            await self._clock.sleep(POLL_S)
        raise Unavailable(f"{name} did not start within {START_WAIT_S:.0f} s", module=name)

    async def _end(self, folder: Path, pid: int, grace_s: float) -> None:
        for sign, wait_s in ((signal.SIGTERM, grace_s), (signal.SIGKILL, START_WAIT_S)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, sign)
            deadline = self._clock.monotonic() + wait_s
            while self._alive(folder) is not None and self._clock.monotonic() < deadline:
                await self._clock.sleep(POLL_S)
            if self._alive(folder) is None:
                return
        raise Unavailable(f"process {pid} of {folder.name} does not end", module=folder.name)

    def _alive(self, folder: Path) -> int | None:
        """The module's process id while it runs, or has ended and its exit code is about to be written."""
        run = _read_run(folder)
        document = json.loads((folder / "spec.json").read_text())
        if run.pid is None or run.exit_code is not None or not document["run"]:
            return None
        pids = (run.pid, document.get("monitor") or run.pid)
        return run.pid if any(_has_mark(pid, document["run"]) for pid in pids) else None

    def _observed(self, folder: Path) -> Observed:
        document = json.loads((folder / "spec.json").read_text())
        run, pid = _read_run(folder), self._alive(folder)
        status: Status
        code: int | None
        if not (folder / "status.json").exists():
            status, code = "created", None
        elif pid is not None:
            status, code = "running", None
        else:
            status, code = "exited", EXIT_UNKNOWN if run.exit_code is None else run.exit_code
        return Observed(
            name=document["name"],
            image=document["image"],
            image_id=document["imageId"],
            status=status,
            exit_code=code,
            started_at=run.started_at,
            finished_at=None if status != "exited" else run.finished_at,
            spec_digest=document["specDigest"],
            pid=pid,
            detail="" if self.isolated else "not isolated: bubblewrap is not available",
        )

    def _watch(self, folder: Path) -> None:
        """Have an event when the module's process ends, also one an earlier agent started."""
        pid = self._alive(folder)
        if pid is None or pid in self._watched:
            return
        try:
            descriptor = os.pidfd_open(pid)
        except ProcessLookupError:
            self._changed.put_nowait(folder.name)
            return
        self._watched[pid] = descriptor
        asyncio.get_running_loop().add_reader(descriptor, self._ended, pid, folder.name)

    def _ended(self, pid: int, name: str) -> None:
        descriptor = self._watched.pop(pid)
        asyncio.get_running_loop().remove_reader(descriptor)
        os.close(descriptor)
        self._changed.put_nowait(name)


def _spec_document(spec: RunSpec, image: Image) -> dict[str, Any]:
    return {
        "name": spec.name,
        "image": spec.image,
        "imageId": image.id,
        "env": dict(spec.env),
        "createOptions": dict(spec.create_options),
        "mounts": [[mount.source, mount.target, mount.read_only] for mount in spec.mounts],
        "hosts": dict(spec.hosts),
        "logBytes": spec.log_limits.file_bytes,
        "specDigest": spec.digest,
        "run": "",
    }


def _read_run(folder: Path) -> Run:
    path = folder / "status.json"
    try:
        text, stat = path.read_text(), path.stat()
    except FileNotFoundError:
        return Run(None, None, None, None)
    facts: dict[str, Any] = {}
    for line in text.splitlines():
        with contextlib.suppress(ValueError):  # a line is being written
            facts.update(json.loads(line))
    started = (folder / "spec.json").stat().st_mtime
    exited = "exit-code" in facts
    return Run(facts.get("child-pid"), facts.get("exit-code"), started, stat.st_mtime if exited else None)


def _has_mark(pid: int, mark: str) -> bool:
    try:
        environ = Path(f"/proc/{pid}/environ").read_bytes()
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return False
    return state != "Z" and f"{MARK}={mark}".encode() in environ.split(b"\0")


def _hosts_file(program: Program) -> int:
    lines = ["127.0.0.1 localhost", f"127.0.0.1 {program.hostname}"]
    lines += [f"{address} {name}" for name, address in sorted(program.hosts.items())]
    descriptor = os.memfd_create("hosts")
    os.write(descriptor, ("\n".join(lines) + "\n").encode())
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


def _mount_point(root: Path, source: str, target: str) -> None:
    """Have something at ``target`` in the unpacked image to mount over; scratch folders make their own."""
    place = resolve(root, target)
    if place.exists() or str(place.relative_to(root)).split("/")[0] in ("run", "tmp"):
        return
    if os.path.isdir(source):
        place.mkdir(parents=True)
    else:
        place.parent.mkdir(parents=True, exist_ok=True)
        place.touch()


def _bound_log(folder: Path) -> None:
    """Keep the newer half of a log that outgrew its bound; writers append, so cutting is safe."""
    path = folder / "log"
    if not path.exists():
        return
    bound = json.loads((folder / "spec.json").read_text())["logBytes"]
    if path.stat().st_size > bound:
        with path.open("r+b") as file:
            file.seek(-bound // 2, os.SEEK_END)
            kept = file.read().partition(b"\n")[2]
            file.seek(0)
            file.truncate()
            file.write(kept)


def _write_private(path: Path, text: str) -> None:
    fresh = path.with_suffix(".new")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(fresh, path)
