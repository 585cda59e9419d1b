"""How something ended that many wait for: a message stored, a message acknowledged.

A future costs a turn of the loop for each who waits; of these thousands settle within one call.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator


class Outcome:
    """Open until ``settle``; whoever asked by ``then`` is called at once, who awaits it hears soon after."""

    __slots__ = ("_asked", "error", "settled")

    def __init__(self) -> None:
        self.settled = False
        self.error: BaseException | None = None
        self._asked: list[Callable[[Outcome], None]] = []

    def settle(self, error: BaseException | None = None) -> None:
        """The first call counts."""
        if self.settled:
            return
        self.settled, self.error = True, error
        asked, self._asked = self._asked, []
        for tell in asked:
            tell(self)

    def then(self, tell: Callable[[Outcome], None]) -> None:
        """Call when this is settled, or now if it is. What is called must not raise."""
        if self.settled:
            tell(self)
        else:
            self._asked.append(tell)

    def __await__(self) -> Generator[object, None, None]:
        if not self.settled:
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self.then(lambda _: None if future.done() else future.set_result(None))
            yield from future
        if self.error is not None:
            raise self.error


def settled(error: BaseException | None = None) -> Outcome:
    """One that is known already."""
    outcome = Outcome()
    outcome.settle(error)
    return outcome
