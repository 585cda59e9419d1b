"""Image files as the world sends them, generated: odd, broken, hostile."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
from PIL import Image

RED, BLUE = (255, 0, 0), (0, 0, 255)


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    """The file's bytes."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def plain(colour: tuple[int, int, int], size: tuple[int, int] = (16, 12)) -> Image.Image:
    return Image.new("RGB", size, colour)


def turned() -> bytes:
    """A JPEG whose EXIF says it lies on its side."""
    exif = Image.Exif()
    exif[0x0112] = 6
    return saved(plain(BLUE, (32, 16)), "JPEG", exif=exif)


def cmyk() -> bytes:
    """A JPEG in print colours."""
    return saved(plain(BLUE).convert("CMYK"), "JPEG", quality=95)


def sixteen_bit_grey() -> bytes:
    """A PNG of 16 bits per pixel, as depth and medical cameras give."""
    return saved(Image.fromarray(np.full((12, 16), 40_000, np.uint16)), "PNG")


def sixteen_bit_colour() -> bytes:
    """A PNG of 16 bits per channel, blue; Pillow cannot write one."""
    row = b"\0" + struct.pack(">3H", 0, 0, 65535) * 16
    return png(16, 12, zlib.compress(row * 12), depth=16)


def palette_with_alpha() -> bytes:
    """A PNG with a palette, one of whose colours is half transparent."""
    image = plain(BLUE).quantize(4)
    return saved(image, "PNG", transparency=bytes([128, 255, 255, 255]))


def animated(kind: str) -> bytes:
    """An animation whose first frame is blue and whose second is red."""
    options = {"lossless": True} if kind == "WEBP" else {}
    return saved(plain(BLUE), kind, save_all=True, append_images=[plain(RED)], duration=50, **options)


def with_alpha() -> bytes:
    return saved(plain(BLUE).convert("RGBA"), "PNG")


def one_bit() -> bytes:
    return saved(Image.new("1", (16, 12), 1), "PNG")


def truncated(kind: str) -> bytes:
    """A file that ends in its middle."""
    noise = np.random.default_rng(1).integers(0, 255, (64, 64, 3), np.uint8)
    data = saved(Image.fromarray(noise), kind)
    return data[: len(data) // 2]


def png(width: int, height: int, data: bytes, depth: int = 8) -> bytes:
    """A PNG of this size with these compressed rows, true or not."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return (
            struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        )

    header = struct.pack(">2I5B", width, height, depth, 2, 0, 0, 0)
    start = b"\x89PNG\r\n\x1a\n"
    return start + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def bomb() -> bytes:
    """A small PNG that says it has 10 gigapixels."""
    return png(100_000, 100_000, zlib.compress(bytes(1_000_000)))


def hundred_megapixels() -> bytes:
    """A true PNG of 10,000 x 10,000 pixels, some 300 kB."""
    rows = zlib.compressobj(1)
    row = b"\0" + bytes(30_000)
    return png(10_000, 10_000, b"".join(rows.compress(row * 100) for _ in range(100)) + rows.flush())


def large(megapixels: int) -> bytes:
    """A true blue JPEG below the bound."""
    return saved(plain(BLUE, (1000 * megapixels, 1000)), "JPEG", quality=50)
