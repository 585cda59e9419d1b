"""The video-analytics HTTP extension: 200 with inferences, 204 with nothing found, 503 when busy."""

from __future__ import annotations

import asyncio

import pytest

from skerry.serve.answer import Settings
from tests.unit.serve.conftest import Served
from tests.unit.serve.support import RED, picture

PATH = "/video-analytics"
JPEG = {"content-type": "image/jpeg"}


async def test_a_frame_gets_classifications_best_first(served: Served) -> None:
    response = await served.http.post(PATH, content=picture(RED, kind="JPEG"), headers=JPEG)
    inferences = response.json()["inferences"]
    assert response.status_code == 200
    assert inferences[0]["type"] == "classification"
    assert inferences[0]["classification"]["tag"]["value"] == "red"
    confidences = [each["classification"]["tag"]["confidence"] for each in inferences]
    assert confidences == sorted(confidences, reverse=True)


async def test_nothing_above_the_threshold_is_no_content(served: Served) -> None:
    served.scorer.settings = Settings(top_k=1, threshold=1.0)
    response = await served.http.post(PATH, content=picture(RED, kind="JPEG"), headers=JPEG)
    assert (response.status_code, response.content) == (204, b"")
    assert "content-length" not in response.headers


@pytest.mark.parametrize("kind", ["image/x-raw", "text/plain", ""])
async def test_another_type_of_frame_is_refused(served: Served, kind: str) -> None:
    response = await served.http.post(PATH, content=picture(RED), headers={"content-type": kind})
    assert (response.status_code, response.json()["error"]["code"]) == (415, 415)


async def test_a_broken_frame_is_a_bad_request(served: Served) -> None:
    response = await served.http.post(PATH, content=picture(RED, kind="JPEG")[:200], headers=JPEG)
    assert response.status_code == 400


async def test_too_many_frames_are_told_when_to_come_back(served: Served) -> None:
    frame = picture(RED, size=(2000, 2000), kind="JPEG")
    answers = await asyncio.gather(*(served.http.post(PATH, content=frame, headers=JPEG) for _ in range(20)))
    busy = [each for each in answers if each.status_code == 503]
    assert busy
    assert all(int(each.headers["retry-after"]) >= 1 for each in busy)
