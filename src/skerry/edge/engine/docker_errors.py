"""Docker's errors in our kinds; its text is kept, for its status codes alone do not tell them apart."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import aiodocker
import aiohttp

from skerry.errors import (
    AlreadyExists,
    InvalidInput,
    NotAuthenticated,
    NotFound,
    SkerryError,
    StorageFull,
    Unavailable,
    Unsupported,
)


@contextmanager
def translated(doing: str, **fields: str) -> Iterator[None]:
    """Within it, what Docker says goes wrong is raised as one of ours; ``fields`` go into the error."""
    try:
        yield
    except aiodocker.DockerError as exc:
        raise _ours(exc, doing, fields) from exc
    except (aiohttp.ClientError, OSError, TimeoutError) as exc:
        raise Unavailable(
            f"cannot {doing}: the Docker Engine does not answer: {exc}", hint="is it running?", **fields
        ) from exc


def no_runtime(doing: str, runtime: str, **fields: str) -> Unsupported:
    """A module asks for a container runtime that is not installed."""
    return Unsupported(
        f"cannot {doing}: this machine has no container runtime {runtime}",
        hint="install it (for nvidia: nvidia-container-toolkit, then restart Docker), remove"
        " HostConfig.Runtime from createOptions, or let modules run on the CPU: runtime_fallback = true",
        **fields,
    )


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
    if "unknown runtime specified" in low or "unknown or invalid runtime" in low:
        runtime = text.rsplit(" ", 1)[-1].strip(".")
        return no_runtime(doing, runtime, **fields)
    if "port is already allocated" in low or "address already in use" in low:
        return AlreadyExists(
            what, hint="another program has this port: change PortBindings or stop it", **fields
        )
    if exc.status == 500 and doing.startswith(("create ", "start ")):
        return Unsupported(what, hint="this machine cannot run the module as its createOptions ask", **fields)
    if any(sign in low for sign in ("connection refused", "no such host", "timeout", "i/o timeout", "tls:")):
        return Unavailable(what, hint="the registry cannot be reached; it is tried again", **fields)
    if exc.status == 404 or "manifest unknown" in low or "not found" in low or "denied" in low:
        return NotFound(what, hint="check the name and tag of the image", **fields)
    if exc.status in (400, 409):
        return InvalidInput(what, hint="check createOptions in the deployment", **fields)
    return Unavailable(what, **fields)
