"""Small real things to test images with: layers, packages, wheels, a mirror."""

import gzip
import hashlib
import http.server
import io
import lzma
import tarfile
import threading
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from skerry.oci.digest import Digest, digest_of
from skerry.oci.image import OCI_LAYER_GZIP, Descriptor, Image, Layer, RunConfig, assemble
from skerry.oci.layer import Entry, pack
from skerry.oci.layout import write_layout

RUN = RunConfig(entrypoint=("/bin/true",))


def stored(blobs: Path, entries: Sequence[Entry], label: str = "layer") -> Layer:
    """``entries`` as a compressed layer in ``blobs``."""
    sink = io.BytesIO()
    packed = pack(entries, sink)
    blobs.mkdir(exist_ok=True)
    (blobs / packed.digest.hex).write_bytes(sink.getvalue())
    return Layer(Descriptor(OCI_LAYER_GZIP, packed.digest, packed.size), packed.diff_id, label)


def stored_tar(blobs: Path, members: Sequence[tuple[tarfile.TarInfo, bytes]]) -> Layer:
    """A layer with exactly these members, however malicious."""
    plain = tar_bytes(members)
    blob = gzip.compress(plain, mtime=0)
    blobs.mkdir(exist_ok=True)
    (blobs / digest_of(blob).hex).write_bytes(blob)
    return Layer(Descriptor(OCI_LAYER_GZIP, digest_of(blob), len(blob)), digest_of(plain), "foreign")


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "", mode: int = 0o644) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.mode = kind, link, mode
    return info


def write_image(directory: Path, blobs: Path, layers: Sequence[Layer], run: RunConfig = RUN) -> Image:
    """A layout of ``layers`` at ``directory``."""
    image = assemble(layers, run, "amd64")

    def blob(digest: Digest) -> Path:
        return blobs / digest.hex

    write_layout(directory, image, "test:1", blob)
    return image


def tar_bytes(members: Sequence[tuple[tarfile.TarInfo, bytes]]) -> bytes:
    """A tar of ``members``, as it is."""
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w") as tar:
        for info, data in members:
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return sink.getvalue()


COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    "xz": lzma.compress,
    "gz": gzip.compress,
    "zst": lambda data: data,
}


def make_deb(
    name: str, members: Sequence[tuple[tarfile.TarInfo, bytes]], data_name: str = "data.tar.xz"
) -> bytes:
    """A Debian package file."""
    control = f"Package: {name}\nVersion: 1\nArchitecture: amd64\n".encode()
    parts = [
        ("debian-binary", b"2.0\n"),
        ("control.tar.xz", lzma.compress(tar_bytes([(member("./control"), control)]))),
        (data_name, COMPRESS[data_name.rpartition(".")[2]](tar_bytes(members))),
    ]
    deb = b"!<arch>\n"
    for part, data in parts:
        header = f"{part:<16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(data):<10}`\n".encode()
        deb += header + data + b"\n" * (len(data) % 2)
    return deb


def make_wheel(files: dict[str, bytes]) -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as wheel:
        for path, data in files.items():
            wheel.writestr(path, data)
    return sink.getvalue()


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@contextmanager
def web_server(files: dict[str, bytes], asked: list[str]) -> Iterator[str]:
    """``files`` by path over HTTP at the address it gives; ``asked`` collects the paths requested."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            data = files.get(self.path)
            if data is None:
                self.send_error(404)
                return
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: object) -> None:
            del format, args

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()
