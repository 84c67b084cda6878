"""What can go wrong in a merge, one class per kind.

Each message says what, which value, and what to do next, in one line.

A message may quote a parent's files, which others wrote: it is made printable and no longer than a screen. Otherwise
this file holds no behaviour: the command line prints `str(error)` and exits with `exit_code`.

    raise CheckpointNotFound("chat parent: no such folder: ./models/chat. Give an existing folder")
"""

from __future__ import annotations

import re
from collections.abc import Sequence

SHOWN = 20  # problems of one kind that a message lists before it counts the rest
ALIKE = 3  # lines of one kind that are shown by themselves
MISMATCHES_SHOWN = 10  # kinds of differences between parents; each is a line or two
SCREEN = 2_000  # characters of a message: a terminal of 24 lines and 80 columns holds 1,920


def printable(text: str) -> str:
    """The text with line ends, control characters and bidi overrides escaped.

    Nothing in it steers a terminal, and nothing stays unseen.
    """
    return "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in text)


def shorten(text: str, limit: int = SCREEN) -> str:
    """The text, cut in the middle to at most `limit` characters.

    The end stays, because it says what to do; a mark stands for what is cut.
    """
    mark = " [...] "
    return text if len(text) <= limit else text[: limit * 3 // 4] + mark + text[len(text) - limit // 4 + len(mark) :]


def join(problems: Sequence[str], shown: int = SHOWN) -> str:
    """The first problems, and how many more there are."""
    more = len(problems) - shown
    return "; ".join([*problems[:shown], *([f"and {more} more"] if more > 0 else [])])


def over_layers(texts: Sequence[str]) -> list[str]:
    """Texts that differ only in a layer's or an expert's number, as one: * for the number, with their count.

    Of those that then differ only in a tensor's name, the first stands for all where there are more than three.
    """
    groups: dict[str, list[str]] = {}
    for text in texts:
        groups.setdefault(re.sub(r"\.\d+(?=\.)", ".*", text), []).append(text)
    lines = [f"{common} ({len(alike)} times)" if len(alike) > 1 else alike[0] for common, alike in groups.items()]

    kinds: dict[str, list[str]] = {}
    for line in lines:
        kinds.setdefault(re.sub(r"\btensor \S+|\(\d+ times\)", "", line).strip(), []).append(line)
    few = {kind: alike if len(alike) <= ALIKE else [_sum_up(alike)] for kind, alike in kinds.items()}
    return [line for alike in few.values() for line in alike]


def _sum_up(alike: Sequence[str]) -> str:
    names = [found[1] for line in alike[1:] if (found := re.search(r"\btensor (\S+)", line))]
    more = ", ..." if len(names) > ALIKE else ""
    return f"{alike[0]}, and the same of {len(alike) - 1} more names: {', '.join(names[:ALIKE])}{more}"


class MergeError(Exception):
    """The input or the place for the output is wrong; the message is for whoever typed the command."""

    exit_code = 2

    def __init__(self, message: str) -> None:
        super().__init__(shorten(printable(message)))


class RecipeError(MergeError):
    """The recipe has unknown keys, wrong types or values out of range; `problems` lists all of them."""

    def __init__(self, source: str, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        super().__init__(f"{source}: " + join(self.problems))


class SettingsError(MergeError):
    """An environment variable holds a value that cannot be used."""


class CheckpointNotFound(MergeError):
    """A parent, an adapter, or one of their files is missing."""


class CheckpointCorrupt(MergeError):
    """A file of a checkpoint does not hold what its header or index says."""


class HubUnavailable(MergeError):
    """A hub id could not be downloaded."""


class AdapterUnsupported(MergeError):
    """The adapter uses something that cannot be folded exactly; `problems` lists all of it."""

    def __init__(self, adapter: str, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        super().__init__(
            f"adapter {adapter} cannot be folded: "
            + join(self.problems)
            + ". Fold it with peft and give the resulting folder"
        )


class AdapterMismatch(MergeError):
    """The adapter's tensors do not fit the model; `problems` lists all of them."""

    def __init__(self, adapter: str, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        super().__init__(f"adapter {adapter} does not fit its model: " + join(self.problems))


class ParentsMismatch(MergeError):
    """The parents are not two models of one architecture; `mismatches` lists every difference."""

    def __init__(self, mismatches: Sequence[str]) -> None:
        self.mismatches = tuple(mismatches)
        count = f"{len(self.mismatches)} mismatch" + ("" if len(self.mismatches) == 1 else "es")
        super().__init__(
            f"the parents cannot be merged, {count}: " + join(over_layers(self.mismatches), MISMATCHES_SHOWN)
        )


class TensorNotFinite(MergeError):
    """A parent's tensor holds NaN or Inf."""


class TensorsOpposite(MergeError):
    """The two directions are opposite: no unique geodesic joins them."""


class TensorsDiffer(MergeError):
    """A tensor that cannot be interpolated, because it is not floating point, differs between the parents."""


class TensorOverflow(MergeError):
    """A merged value is too large for the output dtype."""


class OutputRefused(MergeError):
    """The output folder holds something that a merge must not replace, or cannot be written."""


class OutputUnloadable(MergeError):
    """The files that go with the merge's weights do not load, though the chat parent's do."""


class OutputBusy(MergeError):
    """Another run is writing the same output."""


class DeviceNotFound(MergeError):
    """The device does not exist, or torch is missing or was built without it."""


class BenchFailed(MergeError):
    """A measured command failed, or its output is wrong."""


class OutputFull(MergeError):
    """The disk lacks room for the output."""


class TrainingDataUnusable(MergeError):
    """Files of texts or triplets that cannot be trained on."""


class TrainerMissing(MergeError):
    """A library that training needs is not installed."""


class QuestionsUnusable(MergeError):
    """Questions that no lam can be chosen by."""


class SearchImpossible(MergeError):
    """The merge cannot be scored in this process."""
