"""The descriptions say what the module answers: every route, every status that is tested."""

from __future__ import annotations

import re
from typing import Any

from tests.unit.serve.conftest import Served


async def documents(served: Served) -> tuple[dict[str, Any], dict[str, Any]]:
    swagger = (await served.http.get("/swagger.json")).json()
    openapi = (await served.http.get("/openapi.json")).json()
    return swagger, openapi


async def test_both_versions_describe_the_same_operations(served: Served) -> None:
    swagger, openapi = await documents(served)
    assert (swagger["swagger"], openapi["openapi"][:2]) == ("2.0", "3.")
    operations = [
        {
            (path, method): set(operation["responses"])
            for path, item in document["paths"].items()
            for method, operation in item.items()
        }
        for document in (swagger, openapi)
    ]
    assert operations[0] == operations[1]
    assert operations[0]["/score", "post"] == {"200", "400", "413", "415", "503"}


async def test_operations_have_ids_of_their_own_and_name_their_path_parameters(served: Served) -> None:
    _, openapi = await documents(served)
    ids = []
    for path, item in openapi["paths"].items():
        for operation in item.values():
            ids.append(operation["operationId"])
            names = [each["name"] for each in operation["parameters"] if each["in"] == "path"]
            assert names == re.findall(r"\{(\w+)\}", path)
    assert len(ids) == len(set(ids))


async def test_every_described_get_is_there(served: Served) -> None:
    _, openapi = await documents(served)
    for path, item in openapi["paths"].items():
        if "get" in item:
            real = path.replace("{model}", "colours").replace("{version}", "1")
            assert (await served.http.get(real)).status_code == 200, path


async def test_methods_that_are_not_described_are_refused_naming_those_that_are(served: Served) -> None:
    response = await served.http.delete("/score")
    assert (response.status_code, response.headers["allow"]) == (405, "GET, HEAD, OPTIONS, POST")
    options = await served.http.options("/video-analytics")
    assert (options.status_code, options.headers["allow"]) == (200, "OPTIONS, POST")
