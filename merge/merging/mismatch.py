"""One difference of two parents, with the recipe setting that decides it.

It compares nothing.

    Mismatch("config rope: ...", "config").describe()
"""

from __future__ import annotations

from dataclasses import dataclass

from merge.recipe import DECISIONS, Recipe


@dataclass(frozen=True)
class Mismatch:
    """One difference, and the recipe setting that would decide it; None: no setting does."""

    text: str
    setting: str | None = None
    allowed: tuple[str, ...] = ()  # the values that decide it; empty: all but "refuse"

    def describe(self) -> str:
        """The sentence for the person who wrote the recipe."""
        if self.setting is None:
            return self.text
        allowed = " | ".join(f'"{value}"' for value in self.allowed or DECISIONS[self.setting][1:])
        return f"{self.text} (decide it with {self.setting} = {allowed})"

    def is_open(self, recipe: Recipe | None) -> bool:
        """Whether the recipe leaves it undecided."""
        return (
            self.setting is None
            or recipe is None
            or getattr(recipe, self.setting) not in (self.allowed or DECISIONS[self.setting][1:])
        )
