"""The settings of model updates, from the environment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from skerry.errors import InvalidInput

# The largest networks of keras.applications have some 900 MB of weights.
DOWNLOAD_MB = 1024
UNPACKED_MB = 2048
KB = 1024
MB = 1024 * 1024
# Long enough for a slow link, short enough to notice a dead one.
TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True)
class Fetching:
    """What a download may do; ``bytes_per_s`` 0 is as fast as it goes."""

    bytes_max: int
    bytes_per_s: int = 0
    http_anywhere: bool = False
    """Plain http also to public addresses, not only to this machine and private networks."""
    ca_file: Path | None = None
    """The roots to trust for https; the system's without."""
    timeout_s: float = TIMEOUT_S


@dataclass(frozen=True, slots=True)
class UpdateSettings:
    """Where the state is and what an update may take; sizes in bytes."""

    state_dir: Path
    fetching: Fetching = Fetching(DOWNLOAD_MB * MB)
    unpacked_bytes_max: int = UNPACKED_MB * MB
    memory_bytes_max: int = 0
    """For the candidate beside the running model; 0 is half of what is free then."""
    trusted_keys: tuple[bytes, ...] | None = None


def read_update_settings(
    environ: Mapping[str, str], trusted_keys: tuple[bytes, ...] | None
) -> UpdateSettings | None:
    """None without ``SKERRY_STATE_DIR``: the model is the image's then. InvalidInput names the variable."""
    state = environ.get("SKERRY_STATE_DIR", "").strip()
    if not state:
        return None
    ca_file = environ.get("SKERRY_UPDATE_CA_FILE", "").strip()
    if ca_file and not Path(ca_file).is_file():
        raise InvalidInput(f"SKERRY_UPDATE_CA_FILE={ca_file[:200]} is no file", field="SKERRY_UPDATE_CA_FILE")
    http = environ.get("SKERRY_UPDATE_HTTP", "").strip() or "private"
    if http not in ("private", "anywhere"):
        raise InvalidInput(
            f"SKERRY_UPDATE_HTTP={http[:50]} is none of private, anywhere", field="SKERRY_UPDATE_HTTP"
        )
    return UpdateSettings(
        Path(state),
        Fetching(
            bytes_max=_whole(environ, "SKERRY_UPDATE_DOWNLOAD_MB", DOWNLOAD_MB) * MB,
            bytes_per_s=_whole(environ, "SKERRY_UPDATE_RATE_KB", 0) * KB,
            http_anywhere=http == "anywhere",
            ca_file=Path(ca_file) if ca_file else None,
        ),
        unpacked_bytes_max=_whole(environ, "SKERRY_UPDATE_UNPACKED_MB", UNPACKED_MB) * MB,
        memory_bytes_max=_whole(environ, "SKERRY_UPDATE_MEMORY_MB", 0) * MB,
        trusted_keys=trusted_keys,
    )


def _whole(environ: Mapping[str, str], name: str, default: int) -> int:
    text = environ.get(name, "").strip()
    if not text:
        return default
    if not text.isdecimal() or len(text) > 9:
        raise InvalidInput(f"{name}={text[:50]} is not a whole number", field=name, value=text[:50])
    return int(text)
