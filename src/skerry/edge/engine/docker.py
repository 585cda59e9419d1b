"""Modules as containers of a Docker Engine, or of Podman through its Docker-compatible socket."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import AsyncIterator, Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import aiodocker

from skerry.contract.manifest import RegistryCredentials
from skerry.edge.engine.create_options import container_config, host_config
from skerry.edge.engine.docker_connection import CALL_TIMEOUT_S, Reached, reach, runtimes
from skerry.edge.engine.docker_errors import no_runtime, translated
from skerry.edge.engine.docker_images import local_name
from skerry.edge.engine.docker_pull import DockerPulls
from skerry.edge.engine.health import OUTPUT_CHARS_MAX
from skerry.edge.engine.port import (
    LABEL_DEVICE,
    LABEL_ORIGINAL_IMAGE,
    LABEL_OWNER,
    LABEL_SPEC_DIGEST,
    OWNER,
    STOP_GRACE_S,
    Health,
    LogLine,
    Observed,
    RunSpec,
    Status,
)
from skerry.edge.engine.registries import Registries
from skerry.errors import AlreadyExists, Damaged, Unavailable
from skerry.oci.layout import image_config_digest

log = logging.getLogger(__name__)

NETWORK = "azure-iot-edge"
# Docker's words for a container's life, in ours.
STATUS: Mapping[str, Status] = {
    "created": "created",
    "running": "running",
    "paused": "running",
    "restarting": "running",
    "removing": "exited",
    "exited": "exited",
    "dead": "dead",
}
HEALTH: Mapping[str, Health] = {"healthy": "healthy", "unhealthy": "unhealthy", "starting": "starting"}
# Docker writes the zero time for "never".
NEVER = "0001-01-01"


class DockerEngine:
    """The ``Engine`` port over the Docker Engine API; one device's modules, found by labels."""

    def __init__(
        self,
        reached: Reached,
        *,
        device: str,
        images_dir: Path,
        prefix: str,
        network: str,
        runtime_fallback: bool = False,
        registries: Registries | None = None,
        pulled: Path | None = None,
    ) -> None:
        self.name = "podman" if reached.podman else "docker"
        self._reached = reached
        self._docker = reached.docker
        self._device = device
        self.images_dir = images_dir
        self._prefix = prefix
        self._network = network
        self._pulls = DockerPulls(self._docker, reached.root, images_dir, registries, pulled)
        self._runtimes = reached.runtimes
        self._runtime_fallback = runtime_fallback

    @classmethod
    async def connect(
        cls,
        *,
        device: str,
        images_dir: Path,
        prefix: str = "",
        network: str = NETWORK,
        runtime_fallback: bool = False,
        url: str | None = None,
        registries: Registries | None = None,
        pulled: Path | None = None,
    ) -> DockerEngine:
        """Reach the engine and have the module network; ``Unavailable`` when no engine answers.

        Images of registries that the engine does not believe but ``registries`` do are pulled by us, by way
        of the folder ``pulled``.
        """
        return cls(
            await reach(network, url),
            device=device,
            images_dir=images_dir,
            prefix=prefix,
            network=network,
            runtime_fallback=runtime_fallback,
            registries=registries,
            pulled=pulled,
        )

    async def pull(self, image: str, credentials: RegistryCredentials | None = None) -> None:
        await self._pulls.pull(image, credentials)

    async def has_image(self, image: str) -> bool:
        layout = self._pulls.layout(image)
        found = await self._image_id(local_name(image) if layout is not None else image)
        return found is not None and (layout is None or found == image_config_digest(layout))

    async def remove_image(self, image: str) -> None:
        name = local_name(image) if self._pulls.layout(image) is not None else image
        with translated(f"remove image {image}", image=image):
            try:
                await self._docker.images.delete(name)
            except aiodocker.DockerError as exc:
                # 409: a container uses it, perhaps one that is not ours.
                if exc.status not in (404, 409):
                    raise
        self._pulls.forget(image)

    async def _image_id(self, name: str) -> str | None:
        with translated(f"inspect {name}", image=name):
            try:
                return str((await self._docker.images.inspect(name))["Id"])
            except aiodocker.DockerError as exc:
                if exc.status == 404:
                    return None
                raise

    async def _check_pinned(self, name: str, container: Mapping[str, Any]) -> None:
        """field.md pain 23: what was pinned by its digest is compared again before it runs."""
        image = (container["Config"].get("Labels") or {}).get(LABEL_ORIGINAL_IMAGE, "")
        if "@sha256:" not in image:
            return
        layout = self._pulls.layout(image)
        expected = await self._image_id(image) if layout is None else str(image_config_digest(layout))
        if container["Image"] != expected:
            raise Damaged(
                f"module {name} would run {container['Image']}, its deployment pins {image}",
                hint="the image on this device is another one: deploy again, or remove the container",
                module=name,
            )

    async def create(self, spec: RunSpec) -> None:
        labels = {**spec.labels, LABEL_DEVICE: self._device}
        labels.setdefault(LABEL_SPEC_DIGEST, spec.digest)
        config = container_config(spec, self._network)
        if self._pulls.layout(spec.image) is not None:
            config["Image"] = local_name(spec.image)
        await self._check_runtime(config)
        config["Labels"] = {**config["Labels"], **labels}
        with translated(f"create {spec.name}", image=spec.image):
            await self._delete(spec.name)
            await self._docker.containers.create(config, name=self._container(spec.name))

    async def start(self, name: str) -> None:
        with translated(f"start {name}", module=name):
            container = self._docker.containers.container(self._container(name))
            await self._check_pinned(name, await container.show())
            await container.start()

    async def stop(self, name: str, grace_s: float = STOP_GRACE_S) -> None:
        with translated(f"stop {name}", module=name):
            try:
                await self._docker.containers.container(self._container(name)).stop(
                    t=round(grace_s), timeout=grace_s + CALL_TIMEOUT_S
                )
            except aiodocker.DockerError as exc:
                if exc.status not in (304, 404):
                    raise

    async def remove(self, name: str) -> None:
        with translated(f"remove {name}", module=name):
            await self._delete(name)

    async def observe(self) -> list[Observed]:
        with translated("list containers"):
            filters = {"label": [f"{LABEL_OWNER}={OWNER}", f"{LABEL_DEVICE}={self._device}"]}
            found = await self._docker.containers.list(
                all=True, filters=aiodocker.utils.clean_filters(filters)
            )
            seen = []
            for container in found:
                try:
                    seen.append(self._observed(await container.show()))
                except aiodocker.DockerError as exc:
                    if exc.status != 404:  # removed between the two calls
                        raise
        return sorted(seen, key=lambda one: one.name)

    async def logs(
        self,
        name: str,
        *,
        tail: int | None = None,
        since: float | None = None,
        until: float | None = None,
        follow: bool = False,
    ) -> AsyncIterator[bytes]:
        options = _log_options(tail, since, until)
        with translated(f"read the log of {name}", module=name):
            container = self._docker.containers.container(self._container(name))
            if not follow:
                for text in await container.log(stdout=True, stderr=True, follow=False, **options):
                    for line in text.splitlines():
                        yield line.encode()
                return
            rest = ""
            async for text in container.log(stdout=True, stderr=True, follow=True, **options):
                *lines, rest = (rest + text).split("\n")
                for line in lines:
                    yield line.encode()
            if rest:
                yield rest.encode()

    async def lines(
        self,
        name: str,
        *,
        tail: int | None = None,
        since: float | None = None,
        until: float | None = None,
    ) -> AsyncIterator[LogLine]:
        options = {**_log_options(tail, since, until), "timestamps": 1}
        found: list[LogLine] = []
        with translated(f"read the log of {name}", module=name):
            container = self._docker.containers.container(self._container(name))
            for number, one in ((1, {"stdout": True}), (2, {"stderr": True})):
                for text in await container.log(follow=False, **one, **options):
                    found += [_log_line(line, number) for line in text.splitlines()]
        found.sort(key=lambda line: line.at or 0.0)
        for line in found if tail is None else found[max(0, len(found) - tail) :]:
            yield line

    async def events(self) -> AsyncIterator[str]:
        subscriber = self._docker.events.subscribe()
        while True:
            event = await subscriber.get()
            if event is None:  # the stream to the engine broke
                raise Unavailable("the Docker Engine closed the event stream", hint="is it restarting?")
            attributes = (event.get("Actor") or {}).get("Attributes") or {}
            # Health checks come as a stream of exec_* events that change nothing.
            action = str(event.get("Action", ""))
            changed = event.get("Type") == "container" and not action.startswith("exec_")
            if changed and attributes.get(LABEL_DEVICE) == self._device:
                yield str(attributes.get("name", "")).removeprefix(self._prefix)

    def unsupported(self, create_options: Mapping[str, Any]) -> list[str]:
        host = host_config(create_options)
        missing = [key for key in ("RestartPolicy", "AutoRemove") if host.get(key)]
        if self._falls_back(host):
            missing.append(f"Runtime {host['Runtime']}, it runs on the CPU")
        return [f"HostConfig.{key}" for key in sorted(missing)] + self._reached.cannot(create_options, host)

    def gateway_address(self) -> str:
        return self._reached.gateway

    async def close(self) -> None:
        await self._docker.close()

    def _falls_back(self, host: Mapping[str, Any]) -> bool:
        runtime = host.get("Runtime")
        return self._runtime_fallback and bool(runtime) and runtime not in self._runtimes

    async def _check_runtime(self, config: dict[str, Any]) -> None:
        """A runtime that is not there is left out where the user allows that, and refused where not.

        Docker would refuse it too, some versions here, some at the start; Podman runs without a word.
        """
        host = config["HostConfig"]
        if not host.get("Runtime"):
            return
        if host["Runtime"] not in self._runtimes:
            # It may have been installed since we connected.
            self._runtimes = await runtimes(self._docker)
        if self._falls_back(host):
            log.warning("there is no runtime %s here, the module runs without it", host["Runtime"])
            del host["Runtime"]
            host.pop("DeviceRequests", None)
        elif host["Runtime"] not in self._runtimes:
            raise no_runtime(f"create {config['Labels'].get(LABEL_ORIGINAL_IMAGE)}", host["Runtime"])

    def _container(self, name: str) -> str:
        # Docker's container names cannot begin with "$".
        return self._prefix + name.lstrip("$")

    def _observed(self, shown: Mapping[str, Any]) -> Observed:
        state, config = shown["State"], shown["Config"]
        labels = config.get("Labels") or {}
        health = (state.get("Health") or {}).get("Status")
        exited = state["Status"] in ("exited", "dead")
        checks = (state.get("Health") or {}).get("Log") or []
        detail = "out of memory" if state.get("OOMKilled") else str(state.get("Error") or "")
        if health == "unhealthy" and checks:
            detail = " ".join(str(checks[-1].get("Output", "")).split())[:OUTPUT_CHARS_MAX]
        return Observed(
            name=shown["Name"].lstrip("/").removeprefix(self._prefix),
            image=labels.get(LABEL_ORIGINAL_IMAGE, config["Image"]),
            image_id=shown["Image"],
            status=STATUS.get(state["Status"], "dead"),
            exit_code=state["ExitCode"] if exited else None,
            started_at=_seconds(state.get("StartedAt")),
            finished_at=_seconds(state.get("FinishedAt")) if exited else None,
            health=HEALTH.get(health) if health is not None else None,
            spec_digest=labels.get(LABEL_SPEC_DIGEST, ""),
            pid=state.get("Pid") or None,
            detail=detail,
        )

    async def forget(self, images: Iterable[str]) -> None:
        """Remove these images and the module network, where nothing else uses them."""
        with translated("remove images"):
            for image in images:
                with contextlib.suppress(aiodocker.DockerError):  # another container uses it
                    await self._docker.images.delete(image)
            with contextlib.suppress(aiodocker.DockerError):
                await (await self._docker.networks.get(self._network)).delete()

    async def _delete(self, name: str) -> None:
        container = self._docker.containers.container(self._container(name))
        try:
            labels = (await container.show())["Config"].get("Labels") or {}
            if labels.get(LABEL_DEVICE) != self._device:
                raise AlreadyExists(
                    f"a container {self._container(name)} is there that is not this device's",
                    hint=f"rename or remove it: docker rm -f {self._container(name)}",
                    module=name,
                )
            await container.delete(force=True, v=True)
        except aiodocker.DockerError as exc:
            if exc.status != 404:
                raise


def _log_options(tail: int | None, since: float | None, until: float | None) -> dict[str, Any]:
    times = {"since": since, "until": until}
    given = {name: f"{moment:.6f}" for name, moment in times.items() if moment is not None}
    return {"tail": "all" if tail is None else str(tail), **given}


def _log_line(text: str, stream: int) -> LogLine:
    moment, _, line = text.partition(" ")
    return LogLine(_seconds(moment), stream, line.encode())


def _seconds(text: str | None) -> float | None:
    if not text or text.startswith(NEVER):
        return None
    # Docker gives nanoseconds; Python reads at most six digits.
    head, _, fraction = text.rstrip("Z").partition(".")
    return datetime.fromisoformat(f"{head}.{fraction[:6].ljust(6, '0')}+00:00").timestamp()
