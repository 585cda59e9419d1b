"""Files fetched over HTTP into a cache, each known by its SHA-256.

Proxies come from the environment (``http_proxy``, ``https_proxy``, ``no_proxy``), as ``urllib`` reads them.
"""

from __future__ import annotations

import hashlib
import http.client
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

from skerry.errors import Damaged, InvalidInput, NotFound, TooLarge, Unavailable
from skerry.oci.files import whole_file

# Takes one line for the person who waits.
Progress = Callable[[str], None]

# Between two packets; a slow mirror may take longer for the whole file.
SILENCE_S = 30
ATTEMPTS_MAX = 3
# The largest file we fetch is Debian's package list (9 MB); a wheel for a GPU would be 500 MB.
FILE_BYTES_MAX = 1 << 30
# What a server says of a file it does not (any longer) have.
GONE = (404, 410)


def fetch(url: str) -> bytes:
    """The body at ``url``. ``NotFound`` when it is gone, ``Unavailable`` when it cannot be had now."""
    if not url.startswith(("http://", "https://")):
        raise InvalidInput(f"not an http address: {url!r}", value=url)
    failure: Exception | None = None
    for _ in range(ATTEMPTS_MAX):
        try:
            with urllib.request.urlopen(url, timeout=SILENCE_S) as response:
                body: bytes = response.read(FILE_BYTES_MAX + 1)
        except urllib.error.HTTPError as exc:
            with exc:
                if exc.code in GONE:
                    raise NotFound(f"{url} is not there", status=exc.code) from exc
                failure = exc
        except (OSError, http.client.HTTPException) as exc:
            failure = exc
        else:
            if len(body) > FILE_BYTES_MAX:
                raise TooLarge(f"{url} is over {FILE_BYTES_MAX} bytes")
            return body
    raise Unavailable(f"cannot fetch {url}", hint="check the network and the proxy settings") from failure


def cached(path: Path, sha256: str, url: str) -> bytes:
    """The file with that hash, from ``path`` or else from ``url`` and kept; ``Damaged`` if it differs."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        data = None
    if data is not None and hashlib.sha256(data).hexdigest() == sha256:
        return data
    data = fetch(url)
    if hashlib.sha256(data).hexdigest() != sha256:
        raise Damaged(
            f"{url} is not the file we expect",
            hint="a proxy or mirror changed it, or the lock is out of date",
            expected=sha256,
        )
    with whole_file(path) as file:
        file.write(data)
    return data
