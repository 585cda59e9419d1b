"""A web server whose files break off, expire, change and come in parts."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit


@dataclass
class File:
    """``cuts``: after how many bytes the next answers break off; ``statuses``: what the next ones say."""

    data: bytes
    ranges: bool = True
    etag: str = '"1"'
    cuts: list[int] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    length: bool = True
    location: str = ""


@dataclass
class Web:
    """``asked`` are the requests so far: path and Range."""

    port: int
    scheme: str = "http"
    files: dict[str, File] = field(default_factory=dict)
    asked: list[tuple[str, str]] = field(default_factory=list)

    def url(self, path: str) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}{path}"


@contextmanager
def web_server(tls: ssl.SSLContext | None = None) -> Iterator[Web]:
    """The server, on a thread."""
    web = Web(0, "http" if tls is None else "https")

    class Answer(BaseHTTPRequestHandler):
        def log_message(self, *_args: object) -> None:
            """Quiet."""

        def do_GET(self) -> None:
            path = urlsplit(self.path).path
            asked = self.headers.get("Range", "")
            web.asked.append((path, asked))
            file = web.files.get(path)
            if file is None:
                self.send_error(404)
                return
            status = file.statuses.pop(0) if file.statuses else 200
            if status != 200:
                self.send_response(status)
                if file.location:
                    self.send_header("Location", file.location)
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            self._send(file, asked)

        def _send(self, file: File, asked: str) -> None:
            begin = int(asked.removeprefix("bytes=").rstrip("-")) if asked and file.ranges else 0
            if self.headers.get("If-Range", file.etag) != file.etag:
                begin = 0
            if begin and begin >= len(file.data):
                self.send_error(416)
                return
            body = file.data[begin:]
            self.send_response(206 if begin else 200)
            if begin:
                self.send_header("Content-Range", f"bytes {begin}-{len(file.data) - 1}/{len(file.data)}")
            self.send_header("ETag", file.etag)
            if file.length:
                self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            # Who asked may be gone: it was told to fetch something else.
            with suppress(ConnectionError):
                self.wfile.write(body[: file.cuts.pop(0)] if file.cuts else body)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    web.port = server.server_address[1]
    try:
        yield web
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
