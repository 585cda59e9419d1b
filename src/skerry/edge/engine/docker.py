"""Modules as containers of a Docker Engine (or Podman's Docker-compatible socket)."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import tempfile
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import aiodocker
import aiohttp

from skerry.contract.manifest import RegistryCredentials
from skerry.edge.engine.create_options import container_config
from skerry.edge.engine.port import (
    LABEL_DEVICE,
    LABEL_ORIGINAL_IMAGE,
    LABEL_OWNER,
    LABEL_SPEC_DIGEST,
    OWNER,
    STOP_GRACE_S,
    Health,
    Observed,
    RunSpec,
    Status,
)
from skerry.errors import (
    AlreadyExists,
    InvalidInput,
    NotAuthenticated,
    NotFound,
    SkerryError,
    StorageFull,
    Unavailable,
)
from skerry.oci.layout import find_layout, image_config_digest, to_docker_archive

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
# Asking the engine for anything but a pull, a load or a log stream takes milliseconds.
CALL_TIMEOUT_S = 60.0
LOAD_CHUNK_BYTES = 1024 * 1024


class DockerEngine:
    """The ``Engine`` port over the Docker Engine API; one device's modules, found by labels."""

    name = "docker"

    def __init__(
        self,
        docker: aiodocker.Docker,
        *,
        device: str,
        images_dir: Path,
        prefix: str,
        gateway: str,
        network: str,
    ) -> None:
        self._docker = docker
        self._device = device
        self._images = images_dir
        self._prefix = prefix
        self._gateway = gateway
        self._network = network

    @classmethod
    async def connect(
        cls, *, device: str, images_dir: Path, prefix: str = "", network: str = NETWORK
    ) -> DockerEngine:
        """Reach the engine and have the module network; ``Unavailable`` when no engine answers."""
        try:
            docker = aiodocker.Docker()
        except (AssertionError, ValueError) as exc:  # no socket at any of the usual places
            raise Unavailable("no Docker Engine was found", hint="start it, or use --engine process") from exc
        try:
            with translated("connect to the Docker Engine"):
                await asyncio.wait_for(docker.version(), CALL_TIMEOUT_S)
                gateway = await _network_gateway(docker, network)
        except BaseException:
            await docker.close()
            raise
        return cls(
            docker, device=device, images_dir=images_dir, prefix=prefix, gateway=gateway, network=network
        )

    async def pull(self, image: str, credentials: RegistryCredentials | None = None) -> None:
        layout = find_layout(self._images, image)
        if layout is not None:
            await self._load(image, layout)
            return
        auth = None
        if credentials is not None:
            auth = {"username": credentials.username, "password": credentials.password}
        with translated(f"pull {image}", image=image):
            name = image if "@" in image or ":" in image.rsplit("/", 1)[-1] else f"{image}:latest"
            await self._docker.images.pull(name, auth=auth)

    async def has_image(self, image: str) -> bool:
        with translated(f"inspect {image}", image=image):
            try:
                found = await self._docker.images.inspect(image)
            except aiodocker.DockerError as exc:
                if exc.status == 404:
                    return False
                raise
        layout = find_layout(self._images, image)
        return layout is None or found["Id"] == image_config_digest(layout)

    async def create(self, spec: RunSpec) -> None:
        labels = {**spec.labels, LABEL_DEVICE: self._device}
        labels.setdefault(LABEL_SPEC_DIGEST, spec.digest)
        config = container_config(spec, self._network)
        config["Labels"] = {**config["Labels"], **labels}
        with translated(f"create {spec.name}", image=spec.image):
            await self._delete(spec.name)
            await self._docker.containers.create(config, name=self._container(spec.name))

    async def start(self, name: str) -> None:
        with translated(f"start {name}", module=name):
            await self._docker.containers.container(self._container(name)).start()

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
        self, name: str, *, tail: int | None = None, since: float | None = None, follow: bool = False
    ) -> AsyncIterator[bytes]:
        options: dict[str, Any] = {"tail": "all" if tail is None else str(tail)}
        if since is not None:
            options["since"] = f"{since:.6f}"
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
        return []

    def gateway_address(self) -> str:
        return self._gateway

    async def close(self) -> None:
        await self._docker.close()

    def _container(self, name: str) -> str:
        # Docker's container names cannot begin with "$".
        return self._prefix + name.lstrip("$")

    def _observed(self, shown: Mapping[str, Any]) -> Observed:
        state, config = shown["State"], shown["Config"]
        labels = config.get("Labels") or {}
        health = (state.get("Health") or {}).get("Status")
        exited = state["Status"] in ("exited", "dead")
        detail = "out of memory" if state.get("OOMKilled") else str(state.get("Error") or "")
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

    async def _load(self, image: str, layout: Path) -> None:
        """``docker load`` of an OCI layout on disk, streamed through a temporary archive."""
        with (
            tempfile.TemporaryDirectory(prefix="skerry-load-") as work,
            translated(f"load {image}", image=image),
        ):
            archive = Path(work) / "image.tar"
            await asyncio.to_thread(to_docker_archive, layout, archive, image)

            async def chunks() -> AsyncIterator[bytes]:
                with archive.open("rb") as file:
                    while chunk := await asyncio.to_thread(file.read, LOAD_CHUNK_BYTES):
                        yield chunk

            await self._docker.images.import_image(chunks(), timeout=None)
        log.info("image %s loaded into the Docker Engine", image)


async def _network_gateway(docker: aiodocker.Docker, network: str) -> str:
    try:
        shown = await (await docker.networks.get(network)).show()
    except aiodocker.DockerError as exc:
        if exc.status != 404:
            raise
        await docker.networks.create({"Name": network, "Driver": "bridge", "CheckDuplicate": True})
        log.info("network %s created", network)
        shown = await (await docker.networks.get(network)).show()
    for pool in (shown.get("IPAM") or {}).get("Config") or []:
        if pool.get("Gateway"):
            return str(pool["Gateway"])
    raise Unavailable(f"the network {network} has no gateway address", hint=f"docker network rm {network}")


@contextmanager
def translated(doing: str, **fields: str) -> Iterator[None]:
    """Docker's errors in our kinds; its text is kept, for its status codes alone do not tell them apart."""
    try:
        yield
    except aiodocker.DockerError as exc:
        raise _ours(exc, doing, fields) from exc
    except (aiohttp.ClientError, OSError, TimeoutError) as exc:
        raise Unavailable(
            f"cannot {doing}: the Docker Engine does not answer: {exc}", hint="is it running?", **fields
        ) from exc


def _ours(exc: aiodocker.DockerError, doing: str, fields: Mapping[str, str]) -> SkerryError:
    text = str(exc.message)
    low = text.lower()
    what = f"cannot {doing}: {text}"
    if "cannot connect to docker engine" in low:
        return Unavailable(what, hint="is it running, and may this user reach its socket?", **fields)
    if "no space left" in low:
        return StorageFull(what, hint="free disk space: docker image prune", **fields)
    if "unauthorized" in low or "no basic auth" in low or exc.status == 401:
        return NotAuthenticated(what, hint="check registryCredentials in the deployment", **fields)
    if any(sign in low for sign in ("connection refused", "no such host", "timeout", "i/o timeout", "tls:")):
        return Unavailable(what, hint="the registry cannot be reached; it is tried again", **fields)
    if exc.status == 404 or "manifest unknown" in low or "not found" in low or "denied" in low:
        return NotFound(what, hint="check the name and tag of the image", **fields)
    if exc.status in (400, 409):
        return InvalidInput(what, hint="check createOptions in the deployment", **fields)
    return Unavailable(what, **fields)


def _seconds(text: str | None) -> float | None:
    if not text or text.startswith(NEVER):
        return None
    # Docker gives nanoseconds; Python reads at most six digits.
    head, _, fraction = text.rstrip("Z").partition(".")
    return datetime.fromisoformat(f"{head}.{fraction[:6].ljust(6, '0')}+00:00").timestamp()
