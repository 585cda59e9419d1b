"""Shows the live page what the data plane scores: a small picture of the image and its prediction."""

from __future__ import annotations

import asyncio
import io
import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from PIL import ImageOps

from skerry.errors import SkerryError
from skerry.package.preprocess import open_image
from skerry.serve.answer import Scored
from skerry.serve.preparation import LARGE_PIXELS
from skerry.serve.protocol import prediction_document
from skerry.service.live_page import LivePage

log = logging.getLogger(__name__)

SIDE_MAX = 640
QUALITY = 75


class Watcher:
    """``seen`` costs nothing while nobody looks; pictures are made on a thread, one at a time."""

    def __init__(self, page: LivePage) -> None:
        self._page = page
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="live")
        self._busy: asyncio.Future[bytes | None] | None = None

    def seen(self, images: Sequence[bytes], results: Sequence[Scored]) -> None:
        """Called with each request's images and answers; the last of them is shown."""
        if not self._page.wanted or self._busy is not None:
            self._page.published += len(images)
            return
        self._page.published += len(images) - 1
        self._busy = asyncio.get_running_loop().run_in_executor(self._thread, thumbnail, images[-1])
        document = prediction_document(results[-1])
        self._busy.add_done_callback(lambda made: self._show(made, document))

    def close(self) -> None:
        """Free the thread."""
        self._thread.shutdown()

    def _show(self, made: asyncio.Future[bytes | None], document: dict[str, object]) -> None:
        self._busy = None
        self._page.publish(made.result(), document)


def thumbnail(data: bytes) -> bytes | None:
    """The image as a small upright JPEG; None for one that takes too long or does not decode. Blocks."""
    try:
        image = open_image(data)
        if image.width * image.height > LARGE_PIXELS:
            return None
        image.draft("RGB", (SIDE_MAX, SIDE_MAX))
        small = ImageOps.exif_transpose(image).convert("RGB")
        small.thumbnail((SIDE_MAX, SIDE_MAX))
        buffer = io.BytesIO()
        small.save(buffer, "JPEG", quality=QUALITY)
        return buffer.getvalue()
    except (SkerryError, OSError, ValueError, MemoryError) as exc:
        log.debug("not shown: %s", exc)
        return None
