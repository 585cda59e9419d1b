"""Every image gets the right answer or a clear refusal, and none stalls the others."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from time import perf_counter

import httpx
import pytest

from skerry.clock import SystemClock
from skerry.errors import InvalidInput, SkerryError, TooLarge, Unsupported
from skerry.serve.scoring import Scorer
from tests.unit.serve import pictures
from tests.unit.serve.conftest import Served
from tests.unit.serve.support import BLUE, activated_package, make_scorer, picture

ANSWERED: dict[str, Callable[[], bytes]] = {
    "turned by EXIF": pictures.turned,
    "CMYK JPEG": pictures.cmyk,
    "16 bits per channel": pictures.sixteen_bit_colour,
    "palette with alpha": pictures.palette_with_alpha,
    "alpha": pictures.with_alpha,
    "animated GIF, first frame": lambda: pictures.animated("GIF"),
    "animated WebP, first frame": lambda: pictures.animated("WEBP"),
    "animated PNG, first frame": lambda: pictures.animated("PNG"),
    "BMP": lambda: pictures.saved(pictures.plain(pictures.BLUE), "BMP"),
    "TIFF": lambda: pictures.saved(pictures.plain(pictures.BLUE), "TIFF"),
    "24 megapixels": lambda: pictures.large(24),
}
REFUSED: dict[str, tuple[Callable[[], bytes], int]] = {
    "grey of 16 bits": (pictures.sixteen_bit_grey, 415),
    "truncated JPEG": (lambda: pictures.truncated("JPEG"), 400),
    "truncated PNG": (lambda: pictures.truncated("PNG"), 400),
    "truncated GIF": (lambda: pictures.truncated("GIF"), 400),
    "truncated WebP": (lambda: pictures.truncated("WEBP"), 400),
    "truncated TIFF": (lambda: pictures.truncated("TIFF"), 400),
    "rows missing": (lambda: pictures.png(1000, 1000, b""), 400),
    "size zero": (lambda: pictures.png(0, 0, b""), 400),
    "bomb": (pictures.bomb, 413),
    "100 megapixels": (pictures.hundred_megapixels, 413),
    "SVG": (lambda: b"<svg xmlns='http://www.w3.org/2000/svg'/>", 400),
    "PDF": (lambda: b"%PDF-1.7\n", 400),
    "one byte": (lambda: b"\xff", 400),
}


@pytest.mark.parametrize("name", ANSWERED)
async def test_an_odd_image_is_answered(served: Served, name: str) -> None:
    response = await served.http.post("/score", content=ANSWERED[name](), timeout=30)
    assert (response.status_code, response.json().get("label")) == (200, "blue")


@pytest.mark.parametrize("name", REFUSED)
async def test_a_broken_or_hostile_image_is_refused(served: Served, name: str) -> None:
    make, status = REFUSED[name]
    response = await served.http.post("/score", content=make(), timeout=30)
    assert response.status_code == status
    assert response.json()["message"].startswith("image: ")
    assert (await served.http.post("/score", content=picture(BLUE))).status_code == 200


@pytest.mark.parametrize("in_loop", [True, False])
async def test_the_rules_are_the_same_wherever_it_is_decoded(tmp_path: Path, in_loop: bool) -> None:
    activated = activated_package(tmp_path / "model")
    scorer = Scorer(activated.package, activated.predictor, clock=SystemClock(), in_loop=in_loop)
    [found] = await scorer.score([pictures.palette_with_alpha()])
    kinds: list[type[SkerryError]] = []
    for data in (pictures.sixteen_bit_grey(), pictures.truncated("PNG"), pictures.bomb()):
        with pytest.raises(SkerryError) as caught:
            await scorer.score([data])
        assert caught.value.fields["index"] == 0
        kinds.append(type(caught.value))
    await scorer.close()
    assert (found.predictions[0].label, kinds) == ("blue", [Unsupported, InvalidInput, TooLarge])
    assert scorer.waiting == 0


async def test_a_bomb_is_refused_from_its_header(served: Served) -> None:
    bomb, began = pictures.bomb(), perf_counter()
    assert (await served.http.post("/score", content=bomb)).status_code == 413
    assert perf_counter() - began < 1.0


async def test_large_images_do_not_stall_small_ones(tmp_path: Path) -> None:
    """Three of 40 megapixels keep their lane busy; a small one between them is answered long before."""
    scorer = make_scorer(tmp_path / "model")
    large, small = pictures.large(40), picture(BLUE)
    began = perf_counter()
    busy = [asyncio.create_task(scorer.score([large])) for _ in range(3)]
    await asyncio.sleep(0.05)
    took = []
    for _ in range(5):
        sent = perf_counter()
        await scorer.score([small])
        took.append(perf_counter() - sent)
    await asyncio.gather(*busy)
    whole = perf_counter() - began
    await scorer.close()
    assert sorted(took)[2] < whole / 4


async def test_many_hostile_callers_at_once_leave_the_server_well(served: Served) -> None:
    bad = [pictures.bomb(), pictures.truncated("JPEG"), pictures.sixteen_bit_grey(), b""] * 5

    async def post(data: bytes) -> int:
        response: httpx.Response = await served.http.post("/score", content=data)
        return response.status_code

    statuses = await asyncio.gather(*map(post, bad))
    assert set(statuses) <= {400, 413, 415, 503}
    assert await post(picture(BLUE)) == 200
    assert served.scorer.waiting == 0
