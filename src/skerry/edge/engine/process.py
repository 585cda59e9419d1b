"""Modules as supervised local processes, from the same images, with no container engine.

Each module has a folder in which everything about it stands (``module_folder.py``), so that an agent that
was killed finds its modules again.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import re
import shutil
import signal
import uuid
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

from skerry.clock import Clock
from skerry.contract.manifest import RegistryCredentials
from skerry.edge.engine.abilities import Abilities
from skerry.edge.engine.create_options import host_config
from skerry.edge.engine.health import probe_of
from skerry.edge.engine.health_checks import Check, HealthChecks
from skerry.edge.engine.launch import launch
from skerry.edge.engine.limits import ControlGroups, limits_of
from skerry.edge.engine.module_folder import MARK, ModuleFolder
from skerry.edge.engine.mount_points import make_mount_points
from skerry.edge.engine.port import STOP_GRACE_S, LogLine, Observed, RunSpec, Status
from skerry.edge.engine.program import log_bytes, program_of, stop_signal
from skerry.edge.engine.pulled import PulledImages
from skerry.edge.engine.registries import Registries
from skerry.edge.engine.rootfs import Image, ImageStore
from skerry.edge.engine.sandbox import Program, enter_argv, plain_command, plain_env
from skerry.edge.engine.space import check_room
from skerry.edge.engine.spawn import reap
from skerry.errors import InvalidInput, NotFound, TimedOut, Unsupported

log = logging.getLogger(__name__)

# Names a module's folder; Docker asks the same of a container's name.
NAME = re.compile(r"^\$?[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$")
# The exit code shown when the machine went down with the module: nobody could write the real one.
EXIT_UNKNOWN = 255
# A fresh process reports its id within milliseconds; the bound is for a machine under heavy load.
START_WAIT_S = 10.0
POLL_S = 0.02
LOG_POLL_S = 0.2
READ_BYTES = 64 * 1024
LOOPBACK = "127.0.0.1"


class ProcessEngine:
    """The ``Engine`` port on plain processes; bubblewrap isolates them where it works."""

    name = "process"

    def __init__(
        self,
        *,
        state_dir: Path,
        images_dir: Path,
        bwrap: str | None,
        clock: Clock,
        registries: Registries | None = None,
    ) -> None:
        self._state = state_dir
        self.images_dir = images_dir
        self._modules = state_dir / "modules"
        self._modules.mkdir(parents=True, exist_ok=True)
        self._pulled = None if registries is None else PulledImages(state_dir / "pulled", registries)
        self._images = ImageStore(images_dir, state_dir / "images", self._pulled)
        self._bwrap = bwrap
        self._clock = clock
        self._groups = ControlGroups(uuid.uuid5(uuid.NAMESPACE_URL, str(state_dir)).hex[:8])
        self._abilities = Abilities(sandbox=bwrap is not None, groups=self._groups.usable)
        self._changed: asyncio.Queue[str] = asyncio.Queue()
        self._health = HealthChecks(clock, self._changed.put_nowait)
        self._watched: dict[int, int] = {}

    @property
    def isolated(self) -> bool:
        """Whether modules run in bubblewrap."""
        return self._bwrap is not None

    async def pull(self, image: str, credentials: RegistryCredentials | None = None) -> None:
        if self._pulled is not None and self._pulled.is_elsewhere(image, self.images_dir):
            await self._pulled.pull(image, credentials, self._images.lacking)
        needed = await asyncio.to_thread(self._images.size, image)
        check_room(image, needed, self._state)
        await asyncio.to_thread(self._images.unpack, image)
        if self._pulled is not None:
            await asyncio.to_thread(self._pulled.done, image)

    async def has_image(self, image: str) -> bool:
        return await asyncio.to_thread(self._images.is_unpacked, image)

    async def remove_image(self, image: str) -> None:
        used = {folder.read()["image"] for folder in self._folders()}
        if image not in used:
            await asyncio.to_thread(self._images.remove, image, used)
            if self._pulled is not None:
                await asyncio.to_thread(self._pulled.forget, image)

    async def create(self, spec: RunSpec) -> None:
        if not NAME.match(spec.name):
            raise InvalidInput(f"a module cannot be called {spec.name!r}", path="name", value=spec.name)
        image = await asyncio.to_thread(self._images.find, spec.image)
        folder = ModuleFolder(self._modules / spec.name)
        document = _spec_document(spec, image)
        # Whatever makes no sense is refused before the old module is gone.
        self._program(folder, document, image)
        probe_of(image.healthcheck, spec.create_options.get("Healthcheck"))
        limits_of(host_config(spec.create_options))
        await self.remove(spec.name)
        folder.path.mkdir(parents=True)
        folder.write(document)
        self._tell_names()
        self._changed.put_nowait(spec.name)

    async def start(self, name: str) -> None:
        folder = self._folder(name)
        if folder.alive() is not None:
            return
        document = folder.read()
        if "@sha256:" in document["image"]:
            # field.md pain 23: what was pinned is read again before it runs.
            await asyncio.to_thread(self._images.verify, document["image"])
        document["run"] = uuid.uuid4().hex
        image = self._images.find(document["image"])
        program = self._program(folder, document, image)
        await asyncio.to_thread(make_mount_points, program, self.isolated)
        folder.mark_log(self._clock.now().timestamp())
        document["startedAt"] = self._clock.now().timestamp()
        folder.write({**document, "monitor": None})
        document["monitor"] = monitor = self._spawn(name, folder, program, document)
        folder.write(document)
        await self._settle(folder, monitor)
        log.info("module %s started as process %s", name, folder.alive())
        self._changed.put_nowait(name)

    async def stop(self, name: str, grace_s: float = STOP_GRACE_S) -> None:
        with contextlib.suppress(NotFound):
            folder = self._folder(name)
            self._health.end(name)
            if (pid := folder.alive()) is not None:
                await self._end(folder, pid, grace_s)
                log.info("module %s stopped", name)
            self._changed.put_nowait(name)

    async def remove(self, name: str) -> None:
        await self.stop(name)
        if NAME.match(name) and (self._modules / name).is_dir():
            await asyncio.to_thread(shutil.rmtree, self._modules / name)
            self._groups.remove(name)
            self._tell_names()
            self._changed.put_nowait(name)

    async def observe(self) -> list[Observed]:
        now = self._clock.now().timestamp()
        seen = []
        for folder in self._folders():
            folder.mark_log(now)
            seen.append(self._observed(folder))
        return seen

    async def logs(
        self,
        name: str,
        *,
        tail: int | None = None,
        since: float | None = None,
        until: float | None = None,
        follow: bool = False,
    ) -> AsyncIterator[bytes]:
        folder = self._folder(name)
        position = folder.log.stat().st_size if folder.log.exists() else 0
        async for line in self.lines(name, tail=tail, since=since, until=until):
            yield line.text
        rest = b""
        while follow:
            size = folder.log.stat().st_size if folder.log.exists() else 0
            if size < position:  # cut to its bound, or a new start
                position = 0
            if size == position:
                await self._clock.sleep(LOG_POLL_S)
                continue
            with folder.log.open("rb") as file:
                file.seek(position)
                chunk = file.read(READ_BYTES)
            position += len(chunk)
            *lines, rest = (rest + chunk).split(b"\n")
            for text in lines:
                yield text

    async def lines(
        self,
        name: str,
        *,
        tail: int | None = None,
        since: float | None = None,
        until: float | None = None,
    ) -> AsyncIterator[LogLine]:
        folder = self._folder(name)
        found = [
            LogLine(line.at, 1, line.text)
            for line in await asyncio.to_thread(lambda: list(folder.lines()))
            if (since is None or line.at >= since) and (until is None or line.at <= until)
        ]
        for one in found if tail is None else found[max(0, len(found) - tail) :]:
            yield one

    async def events(self) -> AsyncIterator[str]:
        for folder in self._folders():
            self._watch(folder)
        while True:
            yield await self._changed.get()

    def unsupported(self, create_options: Mapping[str, Any]) -> list[str]:
        return self._abilities.cannot(create_options)

    def gateway_address(self) -> str:
        # Processes share the host's network.
        return LOOPBACK

    async def close(self) -> None:
        await self._health.close()
        for pid, descriptor in self._watched.items():
            asyncio.get_running_loop().remove_reader(descriptor)
            os.close(descriptor)
            reap(pid)
        self._watched.clear()

    def _folders(self) -> list[ModuleFolder]:
        return [folder for path in sorted(self._modules.iterdir()) if (folder := ModuleFolder(path)).exists]

    def _folder(self, name: str) -> ModuleFolder:
        folder = ModuleFolder(self._modules / name)
        if not NAME.match(name) or not folder.exists:
            raise NotFound(f"there is no module {name}", module=name)
        return folder

    def _program(self, folder: ModuleFolder, document: Mapping[str, Any], image: Image) -> Program:
        return program_of(
            document,
            image,
            run=document["run"],
            mark=MARK,
            hosts_file=folder.hosts,
            volumes=self._state / "volumes",
            own_volumes=folder.path / "volumes",
        )

    def _tell_names(self) -> None:
        """Modules find each other by name: all of them are this machine."""
        folders = [(folder, folder.read()) for folder in self._folders()]
        names = {document["name"].lstrip("$"): LOOPBACK for _, document in folders}
        for folder, document in folders:
            extra = host_config(document["createOptions"]).get("ExtraHosts") or []
            own = dict(str(one).split(":", 1) for one in extra if ":" in str(one))
            folder.write_hosts({**names, **document["hosts"], **own})

    def _spawn(self, name: str, folder: ModuleFolder, program: Program, document: Mapping[str, Any]) -> int:
        limits = limits_of(host_config(document["createOptions"]))
        return launch(
            folder,
            program,
            run=document["run"],
            bwrap=self._bwrap,
            limits=limits,
            groups=self._groups.create(name, limits) if self._groups.usable else [],
        )

    async def _settle(self, folder: ModuleFolder, monitor: int) -> None:
        deadline = self._clock.monotonic() + START_WAIT_S
        while self._clock.monotonic() < deadline:
            run = folder.run()
            if run.pid is not None or run.exit_code is not None:
                self._watch(folder)
                return
            if (code := reap(monitor)) is not None:
                tail = b"\n".join(folder.log.read_bytes().splitlines()[-3:]).decode(errors="replace")
                raise Unsupported(f"cannot start {folder.name}: {tail}", module=folder.name, exit_code=code)
            await self._clock.sleep(POLL_S)
        raise TimedOut(f"{folder.name} did not start within {START_WAIT_S:.0f} s", module=folder.name)

    async def _end(self, folder: ModuleFolder, pid: int, grace_s: float) -> None:
        monitor = folder.read().get("monitor") or pid
        for sign, wait_s in ((stop_signal(folder.read()), grace_s), (signal.SIGKILL, START_WAIT_S)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, sign)
            deadline = self._clock.monotonic() + wait_s
            while folder.alive() is not None and self._clock.monotonic() < deadline:
                await self._clock.sleep(POLL_S)
                reap(monitor)
            if folder.alive() is None:
                return
        raise TimedOut(f"process {pid} of {folder.name} does not end", module=folder.name)

    def _observed(self, folder: ModuleFolder) -> Observed:
        # In this order: the exit code is written before the module counts as ended, so it is there by then.
        document, pid = folder.read(), folder.alive()
        run = folder.run()
        status: Status
        code: int | None
        if not folder.status.exists():
            status, code = "created", None
        elif pid is not None:
            status, code = "running", None
        else:
            status, code = "exited", EXIT_UNKNOWN if run.exit_code is None else run.exit_code
        verdict = self._health.verdict(folder.name) if pid is not None else None
        details = [
            "out of memory" if code and self._groups.out_of_memory(folder.name) else "",
            verdict.output if verdict is not None and verdict.health == "unhealthy" else "",
            "" if self.isolated else "not isolated: bubblewrap is not available",
        ]
        return Observed(
            name=document["name"],
            image=document["image"],
            image_id=document["imageId"],
            status=status,
            exit_code=code,
            started_at=run.started_at,
            finished_at=None if status != "exited" else run.finished_at,
            health=None if verdict is None else verdict.health,
            spec_digest=document["specDigest"],
            pid=pid,
            detail="; ".join(filter(None, details)),
        )

    def _watch(self, folder: ModuleFolder) -> None:
        """Have an event when the module's process ends, also one an earlier agent started."""
        pid = folder.alive()
        if pid is None or pid in self._watched:
            return
        self._begin_health(folder, pid)
        for one in {pid, folder.read().get("monitor") or pid}:
            try:
                descriptor = os.pidfd_open(one)
            except ProcessLookupError:
                self._changed.put_nowait(folder.name)
                continue
            self._watched[one] = descriptor
            asyncio.get_running_loop().add_reader(descriptor, self._ended, one, folder.name)

    def _ended(self, pid: int, name: str) -> None:
        descriptor = self._watched.pop(pid)
        asyncio.get_running_loop().remove_reader(descriptor)
        os.close(descriptor)
        reap(pid)
        self._changed.put_nowait(name)

    def _begin_health(self, folder: ModuleFolder, pid: int) -> None:
        document = folder.read()
        image = self._images.find(document["image"])
        probe = probe_of(image.healthcheck, document["createOptions"].get("Healthcheck"))
        nsenter = shutil.which("nsenter")
        if probe is None or (self.isolated and nsenter is None):
            self._health.end(folder.name)
            return
        program = self._program(folder, document, image)
        program = Program(**{**vars(program), "argv": probe.argv})
        if nsenter is not None and self.isolated:
            argv, env = enter_argv(pid, probe.argv, nsenter=nsenter, own_users=_own_users(pid)), program.env
        else:
            argv, env = plain_command(program), plain_env(program)
        without = {name: value for name, value in env.items() if name != MARK}
        self._health.begin(folder.name, Check(probe, tuple(argv), without))


def _spec_document(spec: RunSpec, image: Image) -> dict[str, Any]:
    return {
        "name": spec.name,
        "image": spec.image,
        "imageId": image.id,
        "env": dict(spec.env),
        "createOptions": dict(spec.create_options),
        "mounts": [[mount.source, mount.target, mount.read_only] for mount in spec.mounts],
        "hosts": dict(spec.hosts),
        "logBytes": log_bytes(spec.create_options, spec.log_limits.file_bytes),
        "specDigest": spec.digest,
        "stopSignal": str(spec.create_options.get("StopSignal") or image.stop_signal),
        "run": "",
    }


def _own_users(pid: int) -> bool:
    """Whether the process has user ids of its own: then they have to be entered, too."""
    with contextlib.suppress(OSError):
        return os.readlink(f"/proc/{pid}/ns/user") != os.readlink("/proc/self/ns/user")
    return False
