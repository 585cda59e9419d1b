"""The response that a script may return, and how any result of ``run()`` becomes one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from skerry.serve.http.message import Response

TEXT = "text/html; charset=utf-8"
FAILED = "x-ms-run-function-failed"


class AMLResponse:
    """A response as scripts make it: ``AMLResponse("bad request", 500)``."""

    def __init__(
        self,
        message: Any,
        status_code: int,
        response_headers: Mapping[str, str] | None = None,
        json_str: bool = False,
        run_function_failed: bool = False,
    ) -> None:
        self.status_code = status_code
        self.headers: dict[str, str] = {"Content-Type": TEXT}
        if message is None or json_str or not isinstance(message, bytes | str):
            self.headers["Content-Type"] = "application/json"
            message = json.dumps({} if message is None else message)
        self._data = message.encode() if isinstance(message, str) else message
        self.headers[FAILED] = str(run_function_failed)
        for name, value in (response_headers or {}).items():
            known = next((each for each in self.headers if each.lower() == name.lower()), name)
            self.headers[known] = str(value)

    def get_data(self, as_text: bool = False) -> bytes | str:
        """The body."""
        return self._data.decode() if as_text else self._data

    def set_data(self, value: bytes | str) -> None:
        """Another body."""
        self._data = value.encode() if isinstance(value, str) else value

    @property
    def data(self) -> bytes:
        return self._data


def response_of(result: Any, milliseconds: float) -> Response:
    """The HTTP response for what ``run()`` returned: a response as it is, all else as JSON.

    Raises TypeError or ValueError for what JSON does not know.
    """
    # Scripts that bring Flask along return its responses, which look the same from here.
    if not (hasattr(result, "status_code") and hasattr(result, "get_data")):
        result = AMLResponse(result, 200, json_str=True)
    status = int(result.status_code)
    headers = {name.lower(): str(value) for name, value in dict(result.headers).items()}
    content_type = headers.pop("content-type", "")
    headers.pop("content-length", None)
    if status >= 500:
        headers[FAILED] = "True"
    took = ("x-ms-run-fn-exec-ms", f"{milliseconds:.3f}")
    return Response(status, bytes(result.get_data()), content_type, (*headers.items(), took))
