"""What arrived of one sender's numbered messages, with the proof that it is what was sent."""

from __future__ import annotations

from dataclasses import dataclass, replace

from skerry.contract.chain import Link

# An account with more gaps than this gives up the oldest: what is missing there counts as lost for good.
GAPS_MAX = 1_000

Gap = tuple[int, int]  # first and last missing number
# Of message n and the next one that arrived first: n's own digest, or what the next one says it is.
End = tuple[int, str, bool]  # n, digest, whether it is the message's own


@dataclass(frozen=True, slots=True)
class Account:
    """One sender in one epoch. ``missing`` are the gaps below ``highest``, ascending.

    ``proven`` counts messages that the one after them names by the digest they have; ``altered`` those that
    it names by another: they, or it, are not what the device stored. ``ends`` wait for their other half.
    """

    highest: int = 0
    received: int = 0
    duplicates: int = 0
    reordered: int = 0
    given_up: int = 0
    missing: tuple[Gap, ...] = ()
    proven: int = 0
    altered: int = 0
    ends: tuple[End, ...] = ()

    @property
    def lost(self) -> int:
        """Numbers below the highest that never arrived."""
        return self.given_up + sum(last - first + 1 for first, last in self.missing)

    @property
    def head(self) -> str | None:
        """The digest of the newest message: the device shows the same, when nothing is on its way."""
        return next((text for number, text, own in self.ends if own and number == self.highest), None)

    def arrived(self, number: int, link: Link | None = None) -> Account:
        """After message ``number`` (from 1) arrived."""
        counted = self._counted(number)
        if link is None or counted.received == self.received:
            return counted
        # Number 1 names no message before it, but its epoch.
        halves = [(number, link.own, True)] if number == 1 else [(number - 1, link.previous, False)]
        if number > 1:
            halves.append((number, link.own, True))
        for half in halves:
            counted = counted._joined(half)
        return counted

    def _counted(self, number: int) -> Account:
        if number == self.highest + 1:
            return replace(self, highest=number, received=self.received + 1)
        if number > self.highest:
            gaps = (*self.missing, (self.highest + 1, number - 1))
            return replace(self, highest=number, received=self.received + 1, missing=gaps)._bounded()
        for index, (first, last) in enumerate(self.missing):
            if first <= number <= last:
                halves = [(first, number - 1), (number + 1, last)]
                left = tuple(gap for gap in halves if gap[0] <= gap[1])
                gaps = (*self.missing[:index], *left, *self.missing[index + 1 :])
                late = replace(self, received=self.received + 1, reordered=self.reordered + 1, missing=gaps)
                return late._bounded()
        return replace(self, duplicates=self.duplicates + 1)

    def _joined(self, half: End) -> Account:
        number, text, own = half
        for index, (known, other, other_own) in enumerate(self.ends):
            if known == number and other_own != own:
                ends = (*self.ends[:index], *self.ends[index + 1 :])
                if other == text:
                    return replace(self, ends=ends, proven=self.proven + 1)
                return replace(self, ends=ends, altered=self.altered + 1)
        return replace(self, ends=(*self.ends, half)[-2 * GAPS_MAX :])

    def _bounded(self) -> Account:
        if len(self.missing) <= GAPS_MAX:
            return self
        (first, last), *rest = self.missing
        return replace(self, missing=tuple(rest), given_up=self.given_up + last - first + 1)
