"""Direct methods to who is connected here, from the hub or from another module."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

from skerry.clock import Clock
from skerry.contract.method import MethodRequest, MethodResponse
from skerry.contract.names import AGENT_MODULE, HUB_MODULE, Identity
from skerry.edge.hub.sessions import Sessions
from skerry.errors import NotFound, SkerryError, TimedOut
from skerry.protocol.device_session import DeviceSession

# The hub's connect timeout does not travel with a method (contract.md §2.5). A module that is starting, or
# reconnecting after a restart of the runtime, is there within this time; a hub waits 30 s by default.
HUB_METHOD_WAIT_S = 15.0

AgentInvoke = Callable[[MethodRequest], Awaitable[MethodResponse]]


class Methods:
    """Finds the target of a method: a session, the agent, or the edge hub itself."""

    def __init__(self, sessions: Sessions, clock: Clock) -> None:
        self._sessions = sessions
        self._clock = clock
        self.agent: AgentInvoke | None = None
        self.answered: Callable[[Identity, int, float], None] | None = None
        self.refresh_scope: Callable[[], Awaitable[None]] | None = None

    async def invoke(self, target: Identity, request: MethodRequest) -> MethodResponse:
        """The answer. NotFound when the target does not come within the connect timeout, TimedOut."""
        if target.module == AGENT_MODULE and self.agent is not None:
            return await self.agent(request)
        if target.module == HUB_MODULE:
            return await self._hub_method(request)
        session = self._sessions.listening(target, "methods")
        if session is None:
            session = await self._wait(target, request.connect_timeout_s)
        asked = self._clock.monotonic()
        answer = await session.invoke(request)
        if self.answered is not None:
            self.answered(target, answer.status, self._clock.monotonic() - asked)
        return answer

    async def answer(self, target: Identity, request: MethodRequest) -> MethodResponse:
        """The same for the hub, which wants an answer and no error; waits a while for the target."""
        patient = replace(request, connect_timeout_s=max(request.connect_timeout_s, HUB_METHOD_WAIT_S))
        try:
            return await self.invoke(target, patient)
        except NotFound as error:
            return MethodResponse(404, {"message": str(error)})
        except TimedOut as error:
            return MethodResponse(504, {"message": str(error)})
        except SkerryError as error:
            return MethodResponse(503, {"message": str(error)})

    async def _hub_method(self, request: MethodRequest) -> MethodResponse:
        """contract.md §6.5; the whole scope is read anew, whichever devices are named."""
        if request.name.lower() != "refreshdevicescopeidentitycache":
            return MethodResponse(400, {"message": f"$edgeHub has no method {request.name}"})
        if self.refresh_scope is not None:
            await self.refresh_scope()
        return MethodResponse(200, None)

    async def _wait(self, target: Identity, seconds: float) -> DeviceSession:
        arrival = asyncio.ensure_future(self._sessions.wait_listening(target, "methods"))
        alarm = asyncio.ensure_future(self._clock.sleep(seconds))
        try:
            await asyncio.wait([arrival, alarm], return_when=asyncio.FIRST_COMPLETED)
            if not arrival.done():
                raise NotFound(
                    f"{target.client_id} is not connected or takes no methods", target=target.client_id
                )
            return arrival.result()
        finally:
            arrival.cancel()
            alarm.cancel()
