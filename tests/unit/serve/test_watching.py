"""What the live page is shown: small upright pictures, and nothing while nobody looks."""

from __future__ import annotations

import asyncio
import io
from pathlib import Path

from PIL import Image

from skerry.clock import SystemClock
from skerry.serve.watching import SIDE_MAX, Watcher, thumbnail
from skerry.service.live_page import LivePage
from tests.unit.serve import pictures
from tests.unit.serve.support import BLUE, RED, make_scorer, picture


class Looked(LivePage):
    """The page with somebody always looking; keeps what it was shown."""

    def __init__(self) -> None:
        super().__init__(SystemClock())
        self.shown: list[tuple[bytes | None, dict[str, object]]] = []
        self.looking = True

    @property
    def wanted(self) -> bool:
        return self.looking

    def publish(self, jpeg: bytes | None, document: dict[str, object]) -> None:
        super().publish(jpeg, document)
        self.shown.append((jpeg, document))


def size(jpeg: bytes | None) -> tuple[int, int]:
    assert jpeg is not None
    return Image.open(io.BytesIO(jpeg)).size


def test_a_thumbnail_is_small_and_upright() -> None:
    assert size(thumbnail(picture(RED, (2000, 1000)))) == (SIDE_MAX, SIDE_MAX // 2)
    assert size(thumbnail(pictures.turned())) == (16, 32)
    assert size(thumbnail(pictures.cmyk())) == (16, 12)


def test_what_cannot_be_shown_is_not() -> None:
    assert [thumbnail(data) for data in (b"", pictures.truncated("PNG"), pictures.bomb())] == [None] * 3
    assert thumbnail(pictures.large(9)) is None


async def test_frames_are_shown_with_their_answer_and_counted_when_not(tmp_path: Path) -> None:
    scorer, page = make_scorer(tmp_path / "model"), Looked()
    watcher = Watcher(page)
    scorer.watch = watcher.seen
    await scorer.score([picture(RED), picture(BLUE)])
    async with asyncio.timeout(10):
        while not page.shown:
            await asyncio.sleep(0.01)
    [(jpeg, document)] = page.shown
    assert (size(jpeg), document["label"], page.published) == ((16, 12), "blue", 2)
    page.looking = False
    await scorer.score([picture(RED)])
    assert (len(page.shown), page.published) == (1, 3)
    watcher.close()
    await scorer.close()
