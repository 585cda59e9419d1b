"""Users' scoring scripts run as they are: the tutorial's, today's, plain ones, and those that fail."""

from __future__ import annotations

import asyncio
import contextlib
import re
import sys
import textwrap
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest

from skerry.clock import SystemClock
from skerry.errors import Damaged, InvalidInput, NotFound
from skerry.serve.driver.names import Names, RawHttp
from skerry.serve.driver.script import SCRIPT_FAILED, Script
from skerry.serve.fronts.driver import DriverFront
from skerry.serve.http.listener import HttpListener
from skerry.serve.surface import handler_of
from tests.unit.serve.support import BLUE, RED, picture

# What the tutorial's driver does, in the imports of its time: batch by field name, tuple back.
TUTORIAL = """
import logging, pathlib, timeit
import numpy as np
from PIL import Image
from azureml.core.model import Model
from azureml.contrib.services.aml_request import rawhttp
from azureml.contrib.services.aml_response import AMLResponse
from neighbour import LABELS

def init():
    global model
    model = pathlib.Path(Model.get_model_path("colour_model")).read_text()

@rawhttp
def run(request):
    if request.method == "POST":
        return process_and_score(request.files)
    if request.method == "GET":
        return {"azEnvironment": "Azure", "model": model}
    return AMLResponse("bad request", 500)

def process_and_score(images_dict):
    start = timeit.default_timer()
    batch = np.stack([np.array(Image.open(image).resize((2, 2))) for image in images_dict.values()])
    best = batch.reshape(len(batch), -1, 3).mean(axis=1).argmax(axis=1)
    results = {name: [("n0", LABELS[i], 0.98)] for name, i in zip(images_dict, best)}
    return results, "Computed in {} ms".format(round((timeit.default_timer() - start) * 1000, 2))
"""

TODAY = """
from azureml_inference_server_http.api.aml_request import AMLRequest, rawhttp
from azureml_inference_server_http.api.aml_response import AMLResponse

def init(): pass

@rawhttp
def run(request: AMLRequest):
    if request.args.get("fail"):
        return AMLResponse("no", 503, {"x-why": "full"})
    if request.is_json:
        return request.get_json()["a"] + request.json["b"]
    data = request.get_data()
    return AMLResponse(data[::-1], 201, {"Content-Type": request.headers["content-type"], "X-Own": "1"})
"""

PLAIN = """
import json
def init(): pass
def run(raw_data):
    return {"sum": sum(json.loads(raw_data)["data"])}
"""


@pytest.fixture
def raw() -> RawHttp:
    return RawHttp()


@pytest.fixture(autouse=True)
def names(raw: RawHttp, monkeypatch: pytest.MonkeyPatch) -> Iterator[Names]:
    """The import names, gone again after each test."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setenv("AZUREML_MODEL_DIR", "")
    installed = Names(raw)
    yield installed
    with contextlib.suppress(ValueError):
        installed.remove()
    sys.modules.pop("neighbour", None)


def load(folder: Path, text: str, names: Names, raw: RawHttp) -> Script:
    path = folder / "score.py"
    path.write_text(textwrap.dedent(text))
    return Script.load(path, names, raw, model_dir=folder / "models")


@contextlib.asynccontextmanager
async def serving(script: Script, admitted_max: int = 8) -> AsyncIterator[httpx.AsyncClient]:
    front = DriverFront(script, admitted_max=admitted_max)
    listener = await HttpListener.start(handler_of(front.routes()), clock=SystemClock())
    url = f"http://127.0.0.1:{listener.port}"
    async with httpx.AsyncClient(base_url=url, trust_env=False) as http:
        yield http
    await listener.close()
    await front.close()


@pytest.fixture
def tutorial(tmp_path: Path, names: Names, raw: RawHttp, monkeypatch: pytest.MonkeyPatch) -> Script:
    """The tutorial's kind of driver, with the model and the module beside it."""
    (tmp_path / "neighbour.py").write_text('LABELS = ["red", "green", "blue"]\n')
    for version in ("2", "10"):
        (tmp_path / "models" / "colour_model" / version).mkdir(parents=True)
        (tmp_path / "models" / "colour_model" / version / "weights.h5").write_text(f"version {version}")
    monkeypatch.setenv("AZUREML_MODEL_DIR", str(tmp_path / "models"))
    return load(tmp_path, TUTORIAL, names, raw)


async def test_the_tutorials_driver_answers_as_in_the_reference_table(tutorial: Script) -> None:
    async with serving(tutorial) as http:
        healthy = await http.get("/")
        one = await http.post("/score", files={"image": picture(BLUE)})
        two = await http.post("/score", files={"b": picture(RED), "a": picture(BLUE)})
        facts = await http.get("/score")
        broken = await http.post("/score", files={"image": b"hello"})
        nothing = await http.post("/score", content=b"")
        echoed = await http.post(
            "/score", files={"image": picture(RED)}, headers={"x-ms-client-request-id": "mine"}
        )
        wrong_method, wrong_path = await http.put("/score"), await http.get("/nowhere")
        swagger = await http.get("/swagger.json")
    assert (healthy.status_code, healthy.text) == (200, "Healthy")
    assert healthy.headers["content-type"].startswith("text/html")
    assert healthy.headers["x-request-id"] == healthy.headers["x-ms-request-id"]
    results, computed = one.json()
    assert (one.status_code, results) == (200, {"image": [["n0", "blue", 0.98]]})
    assert re.fullmatch(r"Computed in [\d.]+ ms", computed)
    assert one.headers["content-type"] == "application/json"
    assert one.headers["x-ms-run-function-failed"] == "False"
    assert re.fullmatch(r"\d+\.\d{3}", one.headers["x-ms-run-fn-exec-ms"])
    assert list(two.json()[0]) == ["b", "a"]
    assert facts.json() == {"azEnvironment": "Azure", "model": "version 10"}
    for failed in (broken, nothing):
        assert (failed.status_code, failed.json()) == (500, {"message": SCRIPT_FAILED})
        assert failed.headers["x-ms-run-function-failed"] == "True"
    assert echoed.headers["x-ms-client-request-id"] == echoed.headers["x-ms-request-id"] == "mine"
    assert echoed.headers["x-request-id"] != "mine"
    assert (wrong_method.status_code, list(wrong_method.json())) == (405, ["message"])
    assert (wrong_path.status_code, list(wrong_path.json())) == (404, ["message"])
    assert swagger.json()["swagger"] == "2.0"


async def test_todays_names_and_the_request_they_give(tmp_path: Path, names: Names, raw: RawHttp) -> None:
    async with serving(load(tmp_path, TODAY, names, raw)) as http:
        reversed_ = await http.post("/score", content=b"abc", headers={"content-type": "x/y"})
        added = await http.post("/score", json={"a": 1, "b": 2})
        refused = await http.post("/score?fail=1", content=b"")
    assert (reversed_.status_code, reversed_.content, reversed_.headers["content-type"]) == (
        201,
        b"cba",
        "x/y",
    )
    assert reversed_.headers["x-own"] == "1"
    assert added.json() == 3
    assert (refused.status_code, refused.text, refused.headers["x-why"]) == (503, "no", "full")
    assert refused.headers["x-ms-run-function-failed"] == "True"


async def test_an_undecorated_run_gets_the_body_as_text(tmp_path: Path, names: Names, raw: RawHttp) -> None:
    async with serving(load(tmp_path, PLAIN, names, raw)) as http:
        posted = await http.post("/score", json={"data": [1, 2]})
        asked = await http.get("/score", params={"data": "[3,4]"})
        bad = await http.post("/score", content=b"\xff")
    assert (posted.json(), asked.json()) == ({"sum": 3}, {"sum": 7})
    assert (bad.status_code, bad.headers["x-ms-run-function-failed"]) == (400, "False")


async def test_a_script_that_exits_or_returns_no_json_fails_alone(
    tmp_path: Path, names: Names, raw: RawHttp
) -> None:
    text = """
    import sys
    def init(): pass
    def run(data):
        if data == "exit": sys.exit(3)
        return object() if data == "object" else data
    """
    async with serving(load(tmp_path, text, names, raw)) as http:
        statuses = [(await http.post("/score", content=body)).status_code for body in ("exit", "object", "x")]
        metrics = (await http.get("/metrics")).text
    assert statuses == [500, 500, 200]
    assert 'skerry_serve_driver_answers_total{status="500"} 2.0' in metrics


async def test_a_busy_script_refuses_what_it_cannot_hold(tmp_path: Path, names: Names, raw: RawHttp) -> None:
    text = """
    import threading
    def init():
        global go
        go = threading.Event()
    def run(data, request_headers):
        if "X-Go" in request_headers: go.set()
        go.wait(5)
        return data
    """
    script = load(tmp_path, text, names, raw)
    async with serving(script, admitted_max=1) as http:
        running = asyncio.create_task(http.post("/score", content=b"1"))
        await asyncio.sleep(0.1)
        refused = await http.post("/score", content=b"2")
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
        assert (await http.get("/healthz")).status_code == 200
        sys.modules["skerry_driver"].go.set()
        assert (await running).json() == "1"


@pytest.mark.parametrize(
    ("text", "kind", "said"),
    [
        ("def run(x): pass", InvalidInput, "init"),
        ("def init(): pass", InvalidInput, "run"),
        ("def init(): pass\ndef run(): pass", InvalidInput, "argument"),
        ("def init(): 1 / 0\ndef run(x): pass", Damaged, "ZeroDivisionError"),
        ("import nothing_of_this_name", Damaged, "nothing_of_this_name"),
        ("def init(:", Damaged, "SyntaxError"),
        ("raise SystemExit(1)", Damaged, "SystemExit"),
    ],
)
def test_a_script_that_cannot_serve_is_refused_saying_why(
    tmp_path: Path, names: Names, raw: RawHttp, text: str, kind: type[Exception], said: str
) -> None:
    with pytest.raises(kind, match=said):
        load(tmp_path, text, names, raw)


def test_a_script_that_is_not_there_is_not_found(tmp_path: Path, names: Names, raw: RawHttp) -> None:
    with pytest.raises(NotFound):
        Script.load(tmp_path / "score.py", names, raw, model_dir=tmp_path)


def test_the_names_leave_nothing_behind(names: Names) -> None:
    names.install()
    __import__("azureml.contrib.services.aml_request")
    names.remove()
    assert not [name for name in sys.modules if name.startswith("azureml")]
    names.install()
