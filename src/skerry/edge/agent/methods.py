"""The direct methods of ``$edgeAgent`` (contract.md §6.8)."""

from __future__ import annotations

import gzip
import json
import uuid
from collections.abc import Awaitable, Callable
from typing import Any

from skerry.clock import Clock
from skerry.contract.method import MethodRequest, MethodResponse
from skerry.edge.agent.agent import Agent
from skerry.edge.agent.logs import LogFilter, LogRequest, as_bytes, moment, packed, read, rendered
from skerry.edge.agent.tasks import Tasks
from skerry.errors import InvalidInput, NotFound, SkerryError, Unsupported

# Microsoft's agent answers 400 above this; a method's answer has to fit into 128 KB.
LOGS_BYTES_MAX = 127_000
URL_CHARS_MAX = 4096

# url, content, content type
Upload = Callable[[str, bytes, str], Awaitable[None]]
# since, until (unix seconds), runtime only → a zip archive
Bundle = Callable[[float | None, float | None, bool], Awaitable[bytes]]


class AgentMethods:
    """Answers what is asked of the agent; never raises for what a caller got wrong."""

    def __init__(
        self,
        agent: Agent,
        clock: Clock,
        *,
        hub: str,
        device: str,
        upload: Upload | None = None,
        bundle: Bundle | None = None,
    ) -> None:
        self._agent = agent
        self._clock = clock
        self._hub = hub
        self._device = device
        self._upload = upload
        self._bundle = bundle
        self._tasks = Tasks(lambda: str(uuid.uuid4()))
        self._methods: dict[str, tuple[str, Callable[[Any], Awaitable[MethodResponse]]]] = {
            name.lower(): (name, method)
            for name, method in {
                "ping": self._ping,
                "RestartModule": self._restart_module,
                "GetModuleLogs": self._module_logs,
                "UploadModuleLogs": self._upload_logs,
                "UploadSupportBundle": self._upload_bundle,
                "GetTaskStatus": self._task_status,
            }.items()
        }

    async def invoke(self, request: MethodRequest) -> MethodResponse:
        """The method's answer; 400 for a bad request or an unknown name, 500 when it did not work."""
        if (found := self._methods.get(request.name.lower())) is None:
            names = ", ".join(name for name, _ in self._methods.values())
            return _message(400, f"there is no method {request.name}; there are: {names}")
        self._agent.metrics.invoked(found[0])
        try:
            return await found[1](request.payload)
        except (InvalidInput, NotFound) as error:
            return _message(400, str(error))
        except SkerryError as error:
            return _message(500, str(error))

    async def close(self) -> None:
        """End the uploads that are under way."""
        await self._tasks.close()

    async def _ping(self, payload: Any) -> MethodResponse:
        return MethodResponse(200, None)

    async def _restart_module(self, payload: Any) -> MethodResponse:
        module = payload.get("id") if isinstance(payload, dict) else None
        if not isinstance(module, str):
            raise InvalidInput('RestartModule needs {"schemaVersion": "1.0", "id": "<module>"}', path="id")
        await self._agent.restart(module)
        return MethodResponse(200, None)

    async def _module_logs(self, payload: Any) -> MethodResponse:
        request = LogRequest.parse(payload, self._clock)
        answers = []
        for module, filters in request.matching(sorted(self._agent.modules())):
            content = await self._content(request, module, filters)
            answers.append({"id": module, **packed(content, zipped=request.zipped)})
        if (size := len(json.dumps(answers))) > LOGS_BYTES_MAX:
            raise InvalidInput(
                f"the logs are {size} bytes, more than {LOGS_BYTES_MAX}", hint="use tail, since or gzip"
            )
        return MethodResponse(200, answers)

    async def _upload_logs(self, payload: Any) -> MethodResponse:
        request, url = LogRequest.parse(payload, self._clock), _url(payload)
        wanted = request.matching(sorted(self._agent.modules()))
        upload = self._uploader()

        async def work() -> None:
            # One file for all of them: a plain PUT URL names one.
            parts = [(name, await self._content(request, name, filters)) for name, filters in wanted]
            if request.as_json:
                data = as_bytes([line for _, content in parts for line in content])
            else:
                data = b"".join(f"==> {name} <==\n".encode() + as_bytes(content) for name, content in parts)
            kind = "application/json" if request.as_json else "text/plain"
            if request.zipped:
                data, kind = gzip.compress(data), "application/gzip"
            await upload(url, data, kind)

        return MethodResponse(200, self._tasks.begin(work).to_json())

    async def _upload_bundle(self, payload: Any) -> MethodResponse:
        url, upload, bundle = _url(payload), self._uploader(), self._bundle
        if bundle is None:
            raise Unsupported("this runtime makes no support bundles")
        since = moment(payload.get("since"), self._clock)
        until = moment(payload.get("until"), self._clock, "until")
        runtime_only = bool(payload.get("edgeRuntimeOnly"))

        async def work() -> None:
            await upload(url, await bundle(since, until, runtime_only), "application/zip")

        return MethodResponse(200, self._tasks.begin(work).to_json())

    async def _task_status(self, payload: Any) -> MethodResponse:
        correlation_id = payload.get("correlationId") if isinstance(payload, dict) else None
        if not isinstance(correlation_id, str):
            raise InvalidInput("GetTaskStatus needs a correlationId", path="correlationId")
        return MethodResponse(200, self._tasks.of(correlation_id).to_json())

    async def _content(self, request: LogRequest, module: str, filters: LogFilter) -> Any:
        lines = await read(self._agent.engine, module, filters)
        return rendered(lines, request, filters, hub=self._hub, device=self._device, module=module)

    def _uploader(self) -> Upload:
        if self._upload is None:
            raise Unsupported("this runtime uploads nothing")
        return self._upload


def _url(payload: Any) -> str:
    """``sasUrl``: any URL that takes a PUT; never repeated in an answer, it holds a signature."""
    url = payload.get("sasUrl") if isinstance(payload, dict) else None
    if not isinstance(url, str) or not url.startswith(("https://", "http://")) or len(url) > URL_CHARS_MAX:
        raise InvalidInput("sasUrl has to be an http(s) URL that takes a PUT", path="sasUrl")
    return url


def _message(status: int, text: str) -> MethodResponse:
    return MethodResponse(status, {"message": text})
