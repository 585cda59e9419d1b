"""Why a module is as it is: from the deployment over what was done to its last words, with one suggestion.

Pure. The reason codes are part of the contract with scripts; docs/edge.md lists them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from skerry.clock import iso
from skerry.edge.agent.deployments import RolledBack
from skerry.edge.agent.journal import Entry
from skerry.edge.agent.report import runtime_status
from skerry.edge.agent.state import NEVER, UNKNOWN_IMAGE, History, Tally, Wait, Wanted
from skerry.edge.engine.port import Observed

# Exit codes with a meaning of their own: 126/127 of the shell, 128 + signal of the kernel.
EXITS = {
    126: "its program may not be executed: check the file's mode and the image's architecture",
    127: "its program was not found: check Entrypoint and Cmd",
    132: "its program uses instructions this CPU does not have: use an image built for this machine",
    137: "it was killed: out of memory, or it did not end within its grace time",
    139: "its program crashed (segmentation fault): look at its log, try the previous image",
    143: "it was asked to end (SIGTERM), and not by this runtime",
}
IMAGE_CODES = {
    "NotFound": ("image-not-found", "check the image's name and tag, or push the image"),
    "NotAuthenticated": ("image-login-refused", "check registryCredentials in the deployment"),
    "NotAllowed": ("image-login-refused", "check registryCredentials in the deployment"),
    "StorageFull": ("no-space", "free disk space on the device"),
    "Damaged": ("image-damaged", "push the image again; its content is not what its digest says"),
}


@dataclass(frozen=True)
class Facts:
    """All that is known of one module."""

    module: str
    version: int
    wanted: Wanted | None
    seen: Observed | None
    history: History
    waits: Sequence[Wait]
    steps: Sequence[Entry]
    rolled_back: RolledBack | None
    refused: str
    unsupported: Sequence[str]
    log: Sequence[str]


@dataclass(frozen=True, slots=True)
class Verdict:
    """A reason code, the sentence for people, and what to do."""

    code: str
    text: str
    suggestion: str


def explain(facts: Facts, now: float) -> dict[str, Any]:
    """The document that ``skerry edge why`` shows; times are RFC 3339, ``nextAttempt`` may be None."""
    verdict = judge(facts)
    due = min((wait.until for wait in facts.waits if wait.until is not None), default=None)
    return {
        "module": facts.module,
        "status": runtime_status(facts.wanted, facts.seen, facts.history),
        "reason": verdict.code,
        "because": verdict.text,
        "suggestion": verdict.suggestion,
        "nextAttempt": None if due is None else _time(max(due, now)),
        "chain": _chain(facts),
        "log": list(facts.log),
    }


def judge(facts: Facts) -> Verdict:
    """The first thing that keeps the module from running as wanted."""
    if facts.wanted is None:
        if facts.rolled_back is not None:
            return Verdict("rolled-back", _rolled(facts.rolled_back), "deploy a corrected manifest")
        return Verdict("not-wanted", "no deployment wants it", "deploy a manifest that names it")
    wanted, seen = facts.wanted, facts.seen
    refused = facts.history.failures.get(wanted.name, NEVER)
    if refused.count:
        return _refused(refused, made=seen is not None)
    if seen is None or seen.spec_digest != wanted.run.digest:
        return _image(facts, wanted)
    if wanted.spec.status == "stopped":
        return Verdict("stopped", "the deployment wants it stopped", "set its status to running")
    if seen.status == "running":
        return _running(facts, seen)
    if seen.status == "created":
        return Verdict("starting", "it is about to be started", "wait a moment")
    return _ended(wanted, seen)


def _refused(tally: Tally, *, made: bool) -> Verdict:
    if tally.kind in ("Unavailable", "TimedOut"):
        return Verdict("unavailable", tally.reason, "wait; it is tried again")
    if tally.kind == "Damaged":
        return Verdict("image-damaged", tally.reason, IMAGE_CODES["Damaged"][1])
    verb = "started" if made else "created"
    return Verdict("refused", f"it could not be {verb}: {tally.reason}", "correct createOptions or the image")


def _image(facts: Facts, wanted: Wanted) -> Verdict:
    reference = wanted.run.image
    image = facts.history.images.get(reference, UNKNOWN_IMAGE)
    if wanted.spec.image_pull_policy == "never" and not image.present:
        text = f"image {reference} is not on this device and imagePullPolicy is never"
        return Verdict("image-not-here", text, "put the image onto the device, or allow it to be pulled")
    if image.failed.count:
        code, suggestion = IMAGE_CODES.get(
            image.failed.kind, ("image-unreachable", "check the network to the registry; it is tried again")
        )
        return Verdict(code, image.failed.reason, suggestion)
    if image.pulling:
        return Verdict("pulling", f"image {reference} is being pulled", "wait")
    if facts.waits:
        return Verdict("waiting", facts.waits[0].reason, "wait; it is tried again")
    return Verdict("starting", "it is about to be made", "wait a moment")


def _running(facts: Facts, seen: Observed) -> Verdict:
    if seen.health == "unhealthy":
        text = f"its health check fails: {seen.detail}" if seen.detail else "its health check fails"
        return Verdict("unhealthy", text, "look at its log; try the health check's command by hand")
    if facts.unsupported:
        text = "it runs, without " + ", ".join(facts.unsupported)
        return Verdict("running-reduced", text, "use the Docker engine, or remove these createOptions")
    text = "it runs; its health check has yet to answer" if seen.health == "starting" else "it runs"
    return Verdict("running", text, "nothing to do")


def _ended(wanted: Wanted, seen: Observed) -> Verdict:
    if "out of memory" in seen.detail:
        return Verdict("out-of-memory", "it used more memory than it may", "raise HostConfig.Memory")
    if seen.exit_code == 0:
        again = wanted.spec.restart_policy == "always"
        hint = "nothing to do" if again else "set restartPolicy to always if it shall run again"
        return Verdict("ended", "its program ended without an error", hint)
    hint = EXITS.get(seen.exit_code or 0, "look at its last log lines")
    return Verdict("crashed", f"its program ended with code {seen.exit_code}", hint)


def _chain(facts: Facts) -> list[dict[str, str]]:
    """What led here, oldest first: ``{at, what}``; ``at`` is empty for what has no moment."""
    chain = []
    if facts.refused:
        chain.append({"at": "", "what": f"the newest deployment is not in force: {facts.refused}"})
    if facts.wanted is not None:
        spec = facts.wanted.spec
        what = f"deployment {facts.version} wants {spec.image} {spec.status}, restart {spec.restart_policy}"
        chain.append({"at": "", "what": what})
    chain += [{"at": _time(entry.at), "what": entry.text} for entry in facts.steps]
    restarts = facts.history.restarts.get(facts.module, NEVER)
    if restarts.count:
        what = f"restarted {restarts.count} times since it last ran well"
        chain.append({"at": _time(restarts.at), "what": what})
    chain += [{"at": "", "what": f"waits: {wait.reason}"} for wait in facts.waits]
    return chain


def _rolled(back: RolledBack) -> str:
    return f"deployment {back.origin} was rolled back to {back.to}: {back.reason}"


def _time(moment: float) -> str:
    return iso(datetime.fromtimestamp(moment, UTC))
