"""Custom Vision's routes, answers and bounds."""

from __future__ import annotations

import pytest

from tests.unit.serve.conftest import Served
from tests.unit.serve.support import BLUE, GREEN, expected, picture

PATHS = ("/image", "/image/nostore", "/p1/image", "/p1/classify/iterations/it/image/nostore")


@pytest.mark.parametrize("path", PATHS)
async def test_an_image_gets_tags_with_probabilities(served: Served, path: str) -> None:
    response = await served.http.post(
        path, content=picture(BLUE), headers={"content-type": "application/octet-stream"}
    )
    document = response.json()
    best = document["predictions"][0]
    assert response.status_code == 200
    assert document.keys() == {"id", "project", "iteration", "created", "predictions"}
    assert (best["tagName"], best["boundingBox"]) == ("blue", None)
    assert best["probability"] == pytest.approx(float(expected(picture(BLUE)).max()), abs=1e-6)
    assert document["project"] == ("p1" if "p1" in path else "")


async def test_the_form_of_the_service_is_read(served: Served) -> None:
    files = {"other": picture(BLUE), "imageData": picture(GREEN)}
    document = (await served.http.post("/image", files=files)).json()
    assert document["predictions"][0]["tagName"] == "green"


async def test_a_tag_keeps_its_id(served: Served) -> None:
    answers = [(await served.http.post("/image", content=picture(BLUE))).json() for _ in range(2)]
    first, second = ([each["tagId"] for each in answer["predictions"]] for answer in answers)
    assert first == second
    assert answers[0]["id"] != answers[1]["id"]


@pytest.mark.parametrize(
    ("path", "body", "kind", "status"),
    [
        ("/image", b"no image", "application/octet-stream", 400),
        ("/image", b"x" * (4 * 1024 * 1024 + 1), "application/octet-stream", 413),
        ("/image", b"{}", "application/json", 415),
        ("/image", b"--x--\r\n", "multipart/form-data; boundary=x", 400),
        ("/url", b'{"url": "http://h/a.jpg"}', "application/json", 415),
        ("/p/classify/iterations/i/url", b'{"url": "http://h/a.jpg"}', "application/json", 415),
    ],
)
async def test_what_is_not_answered_says_why(
    served: Served, path: str, body: bytes, kind: str, status: int
) -> None:
    response = await served.http.post(path, content=body, headers={"content-type": kind})
    assert response.status_code == status
    assert response.json().keys() == {"code", "message"}
