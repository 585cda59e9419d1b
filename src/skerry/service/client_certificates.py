"""TLS servers that ask for a client certificate, take any, and leave the judgement to who reads it.

Devices with self-signed certificates are known by thumbprint only, so OpenSSL has nothing to verify them
with and would end the handshake. Its verify callback is the way out, and Python's ``ssl`` does not offer it
(bugs.python.org/issue31242): it is set through ctypes (docs/decisions, "Client certificates").
"""

from __future__ import annotations

import _ssl
import ctypes
import ssl
import sys
from typing import Any

from skerry.errors import Unsupported

# OpenSSL's ssl.h.
_VERIFY_PEER = 1
_VERIFY_PEER_OR_FAIL = 3
_CTRL_SET_SESS_CACHE_MODE = 44
_SESS_CACHE_OFF = 0
_MODES = {ssl.CERT_NONE: 0, ssl.CERT_OPTIONAL: _VERIFY_PEER, ssl.CERT_REQUIRED: _VERIFY_PEER_OR_FAIL}

_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int, ctypes.c_void_p)
# OpenSSL calls it for as long as a context lives: it must never be collected.
_TAKE_ANY = _Callback(lambda _verified, _store: 1)


def ask_for_certificates(context: ssl.SSLContext) -> None:
    """Have a server ask its clients for a certificate; who has none, or any whatever, gets in.

    The handshake still proves that the client holds the key. Sessions are not resumed: a resumed one would
    lack the certificates between the client's and its authority's. Raises Unsupported where this Python's
    OpenSSL cannot be reached; nothing is changed then.
    """
    library, address = _reached(context)
    context.options |= ssl.OP_NO_TICKET
    context.num_tickets = 0
    library.SSL_CTX_ctrl(address, _CTRL_SET_SESS_CACHE_MODE, _SESS_CACHE_OFF, None)
    context.verify_mode = ssl.CERT_OPTIONAL
    library.SSL_CTX_set_verify(address, _VERIFY_PEER, _TAKE_ANY)


def _reached(context: ssl.SSLContext) -> tuple[Any, int]:
    """OpenSSL as this Python uses it, and where it keeps ``context``."""
    if sys.implementation.name != "cpython":
        raise _unsupported("it is not CPython")
    try:
        # The symbols of what the extension is linked with; a Python that contains OpenSSL may hide them.
        library = ctypes.CDLL(_ssl.__file__) if hasattr(_ssl, "__file__") else ctypes.CDLL(None)
        library.SSL_CTX_set_verify.argtypes = [ctypes.c_void_p, ctypes.c_int, _Callback]
        library.SSL_CTX_set_verify.restype = None
        library.SSL_CTX_get_verify_mode.argtypes = [ctypes.c_void_p]
        library.SSL_CTX_ctrl.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_long, ctypes.c_void_p]
        library.SSL_CTX_ctrl.restype = ctypes.c_long
    except (OSError, AttributeError) as exc:
        raise _unsupported("it hides its OpenSSL") from exc
    for mode, expected in _MODES.items():
        probe = _plain(mode)
        if library.SSL_CTX_get_verify_mode(_address(probe)) != expected:
            raise _unsupported("its TLS contexts look different inside")
    return library, _address(context)


def _plain(mode: ssl.VerifyMode) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.verify_mode = mode
    return context


def _address(context: ssl.SSLContext) -> int:
    # PySSLContext of Modules/_ssl.c: the object's header, then ``SSL_CTX *ctx``, since Python 3.2.
    address = ctypes.c_void_p.from_address(id(context) + object.__basicsize__).value
    if address is None:
        raise _unsupported("its TLS contexts look different inside")
    return address


def _unsupported(why: str) -> Unsupported:
    return Unsupported(
        f"this Python cannot ask for client certificates: {why}",
        hint="use CPython with a shared OpenSSL, as Linux distributions and python.org's images have",
    )
