"""One difference of two parents, with the recipe setting that decides it.

It compares nothing.

    Mismatch("config rope: ...", "config").describe()
"""

from __future__ import annotations

from dataclasses import dataclass

from merge.recipe import DECISIONS, UNDECIDED, Recipe


@dataclass(frozen=True)
class Mismatch:
    """One difference, and the recipe setting that would decide it; None: no setting does."""

    text: str
    setting: str | None = None
    allowed: tuple[str, ...] = ()  # the values that decide it; empty: all that choose
    is_exact: bool = False  # it is one of names alone: all tensors of the one are those of the other

    def describe(self) -> str:
        """The sentence for the person who wrote the recipe."""
        if self.setting is None:
            return self.text
        allowed = " | ".join(f'"{value}"' for value in self._deciding)
        return f"{self.text} (decide it with {self.setting} = {allowed})"

    def is_open(self, recipe: Recipe | None) -> bool:
        """Whether the recipe leaves it undecided."""
        if self.setting is None:
            return True
        decided = DECISIONS[self.setting][0] if recipe is None else getattr(recipe, self.setting)
        return decided not in (*self._deciding, *(("exact",) if self.is_exact else ()))

    @property
    def _deciding(self) -> tuple[str, ...]:
        """The values of its setting that decide it."""
        if self.allowed or self.setting is None:
            return self.allowed
        return tuple(value for value in DECISIONS[self.setting] if value not in UNDECIDED)
