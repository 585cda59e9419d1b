"""What a registry's refusals and silences mean, in our kinds; nothing secret is in them."""

from __future__ import annotations

import json
from collections.abc import Mapping

import httpx

from skerry import errors
from skerry.errors import NotAuthenticated, SkerryError, Unavailable

# The longest text of a registry that we repeat.
SAID_CHARACTERS_MAX = 300
RETRY_AFTER_MAX_S = 120.0
KINDS: Mapping[int, type[SkerryError]] = {
    400: errors.InvalidInput,
    403: errors.NotAllowed,
    404: errors.NotFound,
    405: errors.Unsupported,
    408: errors.Unavailable,
    413: errors.TooLarge,
    416: errors.PreconditionFailed,
    429: errors.Throttled,
    507: errors.StorageFull,
}


class Refused(NotAuthenticated):
    """The registry does not take the login there is, or wants one."""

    def __init__(self, host: str, *, known: bool, said: str = "") -> None:
        what = f"{host} does not accept the login it was given" if known else f"{host} wants a login"
        super().__init__(what + (f": {said}" if said else ""), hint=f"docker login {host}", registry=host)


def error_of(answer: httpx.Response, host: str, *, known: bool) -> SkerryError:
    """The error for an answer that is none of those wanted; ``known`` when a login was sent."""
    said = _said(answer)
    if answer.status_code == 401:
        return Refused(host, known=known, said=said)
    path = answer.request.url.path
    what = f"{host} answers {answer.status_code} to {answer.request.method} {path}"
    kind = KINDS.get(answer.status_code, Unavailable if answer.status_code >= 500 else errors.InvalidInput)
    hint = f"is this login allowed to do that? docker login {host}" if answer.status_code == 403 else ""
    wait_s = _retry_after_s(answer)
    more = {} if wait_s is None else {"retry_after_s": wait_s}
    return kind(
        what + (f": {said}" if said else ""), hint=hint, registry=host, status=answer.status_code, **more
    )


def unreachable(host: str, exc: httpx.HTTPError) -> SkerryError:
    """The error for an answer that did not come."""
    text = str(exc) or type(exc).__name__
    if "CERTIFICATE_VERIFY_FAILED" in text or "certificate verify failed" in text:
        return NotAuthenticated(
            f"the certificate of {host} is not one that is trusted here: {text}",
            hint="give the CA that signed it (for a hub: its ca/ca.pem)",
            registry=host,
        )
    if plain_instead_of_tls(exc):
        return errors.Unsupported(
            f"{host} does not speak TLS", hint="if that is meant to be: --insecure", registry=host
        )
    return Unavailable(f"{host} does not answer: {text}", hint="is it running and reachable?", registry=host)


def plain_instead_of_tls(exc: httpx.HTTPError) -> bool:
    """Whether the other end spoke something else when TLS was begun."""
    text = str(exc).upper().replace(" ", "_")
    signs = ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG", "HTTP_REQUEST")
    return any(sign in text for sign in signs)


def _said(answer: httpx.Response) -> str:
    """The messages in the body (distribution-spec, "Error Codes")."""
    try:
        found = json.loads(answer.content)["errors"]
        texts = [f"{one.get('code', '')} {one.get('message', '')}".strip() for one in found]
    except (ValueError, KeyError, TypeError, AttributeError, httpx.StreamError):
        return ""
    return "; ".join(texts)[:SAID_CHARACTERS_MAX]


def _retry_after_s(answer: httpx.Response) -> float | None:
    text = answer.headers.get("retry-after", "")
    return min(float(text), RETRY_AFTER_MAX_S) if text.isascii() and text.isdigit() else None
