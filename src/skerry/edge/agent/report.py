"""What the agent reports about itself and the modules, in Microsoft's shape (contract.md §6.6)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from skerry.clock import iso
from skerry.edge.agent.restart import NO_RULES, Rules, wants_restart
from skerry.edge.agent.state import NEVER, History, Plan, Wanted
from skerry.edge.engine.port import Observed

RuntimeStatus = Literal["unknown", "backoff", "running", "unhealthy", "stopped", "failed", "dead"]
Document = dict[str, Any]

OK, BAD_FORMAT, UNKNOWN, BAD_SCHEMA, NO_DEPLOYMENT, FAILED = 200, 400, 406, 412, 417, 500
# contract.md §2.6: a longer string would make the hub refuse the whole patch.
STRING_BYTES_MAX = 4096
NEVER_TIME = "0001-01-01T00:00:00Z"


@dataclass(frozen=True, slots=True)
class DesiredStatus:
    """How far the agent is with the configuration of ``version``; ``code`` as in contract.md §6.6."""

    version: int
    code: int
    description: str = ""


def runtime_status(
    wanted: Wanted | None, seen: Observed | None, history: History, rules: Rules = NO_RULES
) -> RuntimeStatus:
    """The one word for a module's state."""
    if seen is None:
        refused = wanted is not None and history.failures.get(wanted.name, NEVER).count
        return "backoff" if refused else "unknown"
    if seen.status == "running":
        return "unhealthy" if seen.health == "unhealthy" else "running"
    if seen.status == "dead":
        return "dead"
    if seen.status == "created":
        return "unknown" if wanted is not None and wanted.spec.status == "running" else "stopped"
    if (
        wanted is not None
        and wanted.spec.status == "running"
        and wants_restart(wanted.spec.restart_policy, seen)
    ):
        return "failed" if rules.gives_up(history.restarts.get(wanted.name, NEVER)) else "backoff"
    return "stopped" if seen.exit_code == 0 else "failed"


def module_entry(
    wanted: Wanted,
    seen: Observed | None,
    history: History,
    waiting: str,
    unsupported: tuple[str, ...],
    rules: Rules = NO_RULES,
) -> Document:
    """One entry of ``modules``. Environment values stay out: they may be secrets (field.md pain 22)."""
    spec, restarts = wanted.spec, history.restarts.get(wanted.name, NEVER)
    settings: Document = {"image": spec.image, "imageHash": seen.image_id if seen else ""}
    options = json.dumps(spec.create_options, separators=(",", ":"))
    if len(options.encode()) <= STRING_BYTES_MAX:
        settings["createOptions"] = options
    return {
        "type": "docker",
        "status": spec.status,
        "restartPolicy": spec.restart_policy,
        "imagePullPolicy": spec.image_pull_policy,
        "startupOrder": spec.startup_order,
        "version": spec.version,
        "settings": settings,
        "exitCode": (seen.exit_code or 0) if seen else 0,
        "statusDescription": _description(seen, waiting, unsupported),
        "lastStartTimeUtc": _time(seen.started_at if seen else None),
        "lastExitTimeUtc": _time(seen.finished_at if seen else None),
        "restartCount": restarts.count,
        "lastRestartTimeUtc": _time(restarts.at or None),
        "runtimeStatus": runtime_status(wanted, seen, history, rules),
    }


def modules_report(
    wanted: Mapping[str, Wanted],
    observed: Mapping[str, Observed],
    history: History,
    plan: Plan,
    unsupported: Mapping[str, tuple[str, ...]],
    rules: Rules = NO_RULES,
) -> Document:
    """The whole ``modules`` section."""
    waiting = {wait.module: wait.reason for wait in plan.waits}
    return {
        name: module_entry(
            module, observed.get(name), history, waiting.get(name, ""), unsupported.get(name, ()), rules
        )
        for name, module in sorted(wanted.items())
    }


def progress(
    version: int, wanted: Mapping[str, Wanted], observed: Mapping[str, Observed], history: History
) -> DesiredStatus:
    """200 once every module is as wanted; 500 while one is refused, 406 while one is on its way."""
    refused = {
        name: history.failures.get(name, NEVER).reason
        or (history.images[module.run.image].failed.reason if module.run.image in history.images else "")
        for name, module in sorted(wanted.items())
        if (seen := observed.get(name)) is None or seen.spec_digest != module.run.digest
    }
    problems = [f"{name}: {reason}" for name, reason in refused.items() if reason]
    if problems:
        return DesiredStatus(version, FAILED, "; ".join(problems)[:STRING_BYTES_MAX])
    if refused:
        return DesiredStatus(version, UNKNOWN, "not yet created: " + ", ".join(refused))
    return DesiredStatus(version, OK)


def status_document(status: DesiredStatus) -> Document:
    """The two members that tell the hub how the configuration was taken."""
    return {
        "lastDesiredVersion": status.version,
        "lastDesiredStatus": {"code": status.code, "description": status.description},
    }


def _description(seen: Observed | None, waiting: str, unsupported: tuple[str, ...]) -> str:
    parts = [seen.detail if seen else "", f"waiting: {waiting}" if waiting else ""]
    if unsupported:
        parts.append("this engine cannot give: " + ", ".join(unsupported))
    return "; ".join(filter(None, parts))[:STRING_BYTES_MAX]


def _time(moment: float | None) -> str:
    return NEVER_TIME if moment is None else iso(datetime.fromtimestamp(moment, UTC))
