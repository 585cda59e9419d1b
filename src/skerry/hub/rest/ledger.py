"""REST: the delivery ledger (ours): per sender what was sent, and what became of it."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from skerry.contract.names import DeviceId
from skerry.hub.ledger import Entry
from skerry.hub.policies import Right
from skerry.hub.rest.answers import Answer
from skerry.hub.rest.callers import require, verbs_of

# A person looks at the first few; a program that needs all reads the events.
GAPS_SHOWN = 20


def routes() -> list[BaseRoute]:
    return [Route("/ledger", read_ledger, methods=["GET"])]


async def read_ledger(request: Request) -> Response:
    require(request, Right.SERVICE_CONNECT)
    device = request.query_params.get("device")
    entries = await verbs_of(request).telemetry.ledger.entries(None if device is None else DeviceId(device))
    return Answer([_document(entry) for entry in entries])


def _document(entry: Entry) -> dict[str, Any]:
    account = entry.account
    module = {} if entry.sender.module is None else {"moduleId": str(entry.sender.module)}
    return {
        "deviceId": str(entry.sender.device),
        **module,
        "epoch": entry.epoch,
        "sent": account.highest,
        "received": account.received,
        "duplicates": account.duplicates,
        "reordered": account.reordered,
        "lost": account.lost,
        "proven": account.proven,
        "altered": account.altered,
        "head": account.head,
        "missing": [list(gap) for gap in account.missing[:GAPS_SHOWN]],
    }
