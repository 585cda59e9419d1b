"""The values the agent decides on: what is wanted, what is seen, what was tried."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from skerry.contract.manifest import ModuleSpec
from skerry.edge.engine.port import RunSpec

# Kinds of errors that say nothing about the deployment: somebody else was away, and may be back soon.
TRANSIENT = frozenset({"Unavailable", "TimedOut", "Throttled"})


@dataclass(frozen=True, slots=True)
class Tally:
    """How often something was tried in a row, when last (unix seconds), and how it ended.

    ``kind`` names the kind of error (``NotFound``); empty when it was not one.
    """

    count: int = 0
    at: float = 0.0
    reason: str = ""
    kind: str = ""

    def again(self, now: float, reason: str, kind: str = "") -> Tally:
        return Tally(self.count + 1, now, reason, kind)

    @property
    def blames(self) -> bool:
        """Whether it failed for a reason that trying again alone does not cure."""
        return self.count > 0 and self.kind not in TRANSIENT


NEVER = Tally()


@dataclass(frozen=True)
class Wanted:
    """A module as the configuration wants it, with everything the engine needs to make it."""

    spec: ModuleSpec
    run: RunSpec

    @property
    def name(self) -> str:
        return self.run.name


@dataclass(frozen=True, slots=True)
class Image:
    """What is known of an image on this device."""

    present: bool = False
    pulling: bool = False
    # The registry was asked since the agent started, so the tag is as fresh as it gets.
    pulled: bool = False
    failed: Tally = NEVER


UNKNOWN_IMAGE = Image()


@dataclass(frozen=True)
class History:
    """What the agent remembers between two looks: restarts and refusals by module, images by reference.

    ``owed`` names the modules that ended because we or the machine stopped them, not by themselves: they
    are started again whatever their restart policy says.
    """

    restarts: Mapping[str, Tally] = field(default_factory=dict)
    failures: Mapping[str, Tally] = field(default_factory=dict)
    images: Mapping[str, Image] = field(default_factory=dict)
    owed: frozenset[str] = frozenset()


NO_HISTORY = History()


@dataclass(frozen=True, slots=True)
class Pull:
    image: str

    def __str__(self) -> str:
        return f"pull {self.image}"


@dataclass(frozen=True, slots=True)
class Stop:
    module: str
    reason: str

    def __str__(self) -> str:
        return f"stop {self.module}: {self.reason}"


@dataclass(frozen=True, slots=True)
class Remove:
    module: str
    reason: str

    def __str__(self) -> str:
        return f"remove {self.module}: {self.reason}"


@dataclass(frozen=True)
class Create:
    run: RunSpec

    @property
    def module(self) -> str:
        return self.run.name

    def __str__(self) -> str:
        return f"create {self.run.name} from {self.run.image}"


@dataclass(frozen=True, slots=True)
class Start:
    module: str
    reason: str
    # A restart counts towards the back-off; the first start of a new module does not.
    restart: bool = False

    def __str__(self) -> str:
        return f"start {self.module}: {self.reason}"


Step = Pull | Stop | Remove | Create | Start


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing to do for a module before ``until`` (unix seconds, None: until something happens)."""

    module: str
    until: float | None
    reason: str


@dataclass(frozen=True)
class Plan:
    """What to do now, in order, and what is waited for; no steps means nothing is left to do."""

    steps: tuple[Step, ...] = ()
    waits: tuple[Wait, ...] = ()

    @property
    def wake_at(self) -> float | None:
        """The earliest moment at which planning again can bring something new."""
        return min((wait.until for wait in self.waits if wait.until is not None), default=None)
