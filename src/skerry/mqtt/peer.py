"""The certificates a TLS peer showed in its handshake."""

from __future__ import annotations

import ssl
from typing import Any, cast


def peer_certificates(secured: object) -> tuple[bytes, ...]:
    """What the peer of an ``ssl_object`` showed, as DER, its own first; empty without TLS or certificate.

    That it holds the key of the first one is proved by the handshake; nothing else about them is.
    """
    if not isinstance(secured, ssl.SSLObject):
        return ()
    leaf = secured.getpeercert(binary_form=True)
    if leaf is None:
        return ()
    return (leaf, *_others(secured, leaf))


def _others(secured: ssl.SSLObject, leaf: bytes) -> list[bytes]:
    # Public from Python 3.13 on; before that the same method of the object inside gives certificates.
    public = getattr(secured, "get_unverified_chain", None)
    if public is not None:
        chain = [bytes(one) for one in public() or ()]
    else:
        inner = cast("Any", secured)._sslobj
        chain = [bytes(one.public_bytes(_DER)) for one in inner.get_unverified_chain() or ()]
    return [one for one in chain if one != leaf]


# ``_ssl.ENCODING_DER``.
_DER = 2
