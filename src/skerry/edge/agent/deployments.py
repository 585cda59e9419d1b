"""Which deployment is in force: the newest valid one, until it is shown that it does not work.

Pure. The whole of it is one document on disk, so a crash leaves one state or the next, never half a change.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from skerry.edge.agent.trial import Fault, Trial

Document = dict[str, Any]


@dataclass(frozen=True)
class Deployment:
    """The desired properties of ``$edgeAgent`` without their ``$`` members, and their version."""

    version: int
    properties: Document


@dataclass(frozen=True, slots=True)
class RolledBack:
    """Deployment ``origin`` did not work, ``to`` is in force again."""

    origin: int
    to: int
    reason: str

    def to_json(self) -> Document:
        return {"from": self.origin, "to": self.to, "reason": self.reason}


@dataclass(frozen=True)
class Deployments:
    """``current`` is in force; on ``trial`` until it has worked once; ``proven`` is the last that did.

    After a rollback ``failed`` is the deployment that the twin still asks for.
    """

    current: Deployment | None = None
    proven: Deployment | None = None
    trial: Trial | None = None
    failed: Deployment | None = None
    rolled_back: RolledBack | None = None

    def offer(self, deployment: Deployment) -> Deployments:
        """A newer deployment pre-empts whatever there is; the same one again changes nothing."""
        if deployment in (self.current, self.failed):
            return self
        return Deployments(deployment, self.proven, Trial())

    def prove(self) -> Deployments:
        """The current one works: this is what is returned to."""
        return replace(self, proven=self.current, trial=None)

    def condemn(self, reason: str) -> Deployments:
        """Back to the proven one; unchanged where there is none, or none that differs."""
        bad, good = self.current, self.proven
        if bad is None or good is None or self.trial is None or good.properties == bad.properties:
            return self
        return Deployments(good, good, None, bad, RolledBack(bad.version, good.version, reason))

    @property
    def images_kept(self) -> frozenset[str]:
        """Images that a deployment needs which may be in force again."""
        return frozenset().union(*(_images(one) for one in (self.current, self.proven) if one is not None))

    def to_json(self) -> Document:
        return {
            "current": _dump(self.current),
            "proven": _dump(self.proven),
            "trial": None
            if self.trial is None
            else {name: [fault.seconds, fault.reason] for name, fault in sorted(self.trial.faults.items())},
            "failed": _dump(self.failed),
            "rolledBack": None if self.rolled_back is None else self.rolled_back.to_json(),
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Deployments:
        trial, back = document["trial"], document["rolledBack"]
        return cls(
            current=_load(document["current"]),
            proven=_load(document["proven"]),
            trial=None
            if trial is None
            else Trial({name: Fault(seconds, reason) for name, (seconds, reason) in trial.items()}),
            failed=_load(document["failed"]),
            rolled_back=None if back is None else RolledBack(back["from"], back["to"], back["reason"]),
        )


def _dump(deployment: Deployment | None) -> Document | None:
    if deployment is None:
        return None
    return {"version": deployment.version, "properties": deployment.properties}


def _load(document: Mapping[str, Any] | None) -> Deployment | None:
    return None if document is None else Deployment(document["version"], document["properties"])


def _images(deployment: Deployment) -> frozenset[str]:
    modules = deployment.properties.get("modules") or {}
    return frozenset(module["settings"]["image"] for module in modules.values())
