"""The merge as a whole: the parents in, a checkpoint folder out (or several, for a sweep), streamed piece by piece.

As in ChipAlign (arXiv 2412.19819), every floating-point tensor is merged alike, each by itself, at the lam that the
recipe gives it:
  matrices of attention and MLP               model.layers.*.self_attn.*_proj.weight, model.layers.*.mlp.*_proj.weight
  norm vectors and biases                     model.layers.*layernorm.weight, model.norm.weight, *.bias: as vectors,
                                              like any other
  embeddings                                  model.embed_tokens.weight: one tensor, one angle, not one per token
  tied embeddings                             stored once, as model.embed_tokens.weight, and so merged once
  lm_head.weight, where untied                merged by itself
  scalars                                     tensors of one element: theta is 0; of opposite signs they are merged
                                              linearly, which is a branch of its own

A branch per tensor (merge.arithmetic.geodesic.find_arc) says which case it was. Tensors of whole numbers or truth
values (buffers of some architectures) cannot be interpolated: they must be equal in both parents and are copied (branch
"copied").

A merge that is killed leaves a hidden folder with a journal beside `out`, and the next run of the same merge resumes
from it. This file does not decide whether two models fit (merge.merging.pairing), what each tensor becomes
(merge.merging.plan), or how (merge.merging.passes).

    outcome = merge_parents(recipe, Path("out"), settings, render_card)
"""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from merge.arithmetic.choice import find_arithmetic, warm_up
from merge.arithmetic.geodesic import Arithmetic, TensorResult
from merge.errors import OutputRefused, join
from merge.merging.companions import Companions, are_chat_parents, is_built_in, prepare_companions
from merge.merging.doubts import ALIKE, SAME, doubt_parents, doubt_recipe, doubt_tensors, doubt_zeros
from merge.merging.further import join_parents
from merge.merging.journal import Journal, is_taken_up
from merge.merging.loading import LoadingCheck
from merge.merging.pairing import Pair, check_pair
from merge.merging.passes import Mapped, merge_tensor
from merge.merging.piece_threads import PieceThreads
from merge.merging.plan import FLOAT_NAMES, TensorPlan, make_plan
from merge.merging.report import REPORT, MergeReport, OutputFile, find_key, is_same_merge, read_report
from merge.models.beside import is_code
from merge.models.folded import open_source, single_threaded_blas
from merge.models.hashing import hash_file
from merge.models.layout import PART
from merge.models.parents import Parents, Resolver, count_cores
from merge.models.staging import check_room, empty_folder, staged_folder
from merge.models.writing import CheckpointWriter
from merge.recipe import Recipe
from merge.settings import MergeSettings

CARD = "README.md"


class Watcher:
    """Hears how a merge goes on. This one draws nothing; the command line's does."""

    def say(self, text: str) -> None:
        """A step begins."""

    def advance(self, result: TensorResult, done_bytes: int, total_bytes: int) -> None:
        """A tensor was written."""


@dataclass(frozen=True)
class Outcome:
    """Where the checkpoint is and, unless it existed already, what happened."""

    checkpoint_dir: Path
    reused: bool
    report: MergeReport | None  # None if reused
    totals: dict[str, Any]  # as in the report


@dataclass(frozen=True)
class Output:
    """One checkpoint in the making."""

    recipe: Recipe
    out: Path  # where it will be
    folder: Path  # where it is being made
    plans: tuple[TensorPlan, ...]
    companions: Companions
    writer: CheckpointWriter
    journal: Journal

    @property
    def dtypes(self) -> dict[str, int]:
        """How many floating-point tensors have each dtype, that of most elements first."""
        elements: Counter[str] = Counter()
        counts: Counter[str] = Counter()
        for plan in self.plans:
            if plan.dtype in FLOAT_NAMES:
                elements[FLOAT_NAMES[plan.dtype]] += plan.numel
                counts[FLOAT_NAMES[plan.dtype]] += 1
        return {name: counts[name] for name, _ in elements.most_common()}


def merge_parents(
    recipe: Recipe, out: Path, settings: MergeSettings, render_card: Callable[[MergeReport], str], **options: Any
) -> Outcome:
    """Merge as the recipe says and put the checkpoint at `out`, whole or not at all.

    This is merge_sweep of one recipe, with its options.
    """
    return merge_sweep([(recipe, out)], settings, render_card, **options)[0]


def merge_sweep(
    jobs: Sequence[tuple[Recipe, Path]],
    settings: MergeSettings,
    render_card: Callable[[MergeReport], str],
    *,
    force: bool = False,
    watcher: Watcher | None = None,
    shard_bytes: int | None = None,
    threads: int | None = None,
    device: str = "cpu",
    resolver: Resolver | None = None,
    try_loading: bool = False,
) -> list[Outcome]:
    """Merge recipes that differ only in lam and name, each into its folder, reading the parents once for all.

    A folder that holds this very merge already stays as it is, unless `force`. render_card gives the text of README.md.
    threads: does not change the output; None: as many as there are cores. device: "cpu", or a GPU's name in torch,
    whose sums may differ in the last of fifteen digits. shard_bytes: None: as the recipe says. resolver: of the same
    recipe, where it has begun to hash already. try_loading: whether transformers must load config, tokenizer and
    processor of the output, where they are not the chat parent's own; it tries while tensors are merged.

    Raises what its parts raise: a failed merge leaves every folder as it was.
    """
    watcher, threads = watcher or Watcher(), threads or count_cores()
    with resolver or Resolver(jobs[0][0].base, settings, watcher.say, threads=threads) as resolver:
        resolver.begin(jobs[0][0].parents())  # beside the libraries, which take a third of a second
        arithmetic = find_arithmetic(device)
        _warm_up_beside(arithmetic)
        there = {out: check_output(out, recipe) for recipe, out in jobs}  # before anything is downloaded
        parents = resolver.resolve_sides(jobs[0][0].parents())

    outcomes: dict[Path, Outcome] = {}
    for recipe, out in jobs:
        refuse_parents(out, [parent.folder for parent in parents.by_side().values()])
        existing = there[out]
        if existing and not force and is_same_merge(existing, recipe, parents, out):
            outcomes[out] = Outcome(out, True, None, existing["totals"])

    todo = [(recipe, out) for recipe, out in jobs if out not in outcomes]
    if todo:
        with ExitStack() as stack:
            pair = open_parents(parents, todo[0][0], stack, arithmetic)
            outputs = [prepare_output(recipe, out, parents, pair, shard_bytes, stack) for recipe, out in todo]
            is_tried = try_loading and not are_chat_parents(outputs[0].companions, pair)
            check = stack.enter_context(LoadingCheck(outputs[0].folder, pair.chat.folder)) if is_tried else None
            doubts = [*doubt_recipe(todo[0][0], pair), *doubt_parents(parents)]
            warnings = [f"warning: {doubt}" for doubt in doubts]
            for sentence in [*describe_left(outputs[0].companions, pair.chat.config), *warnings]:
                watcher.say(sentence)
            results = merge_tensors(pair, outputs, watcher, threads, arithmetic)
            tensors_found = [(result.name, math.prod(result.shape), result.theta) for result in results[0]]
            said = [doubt for doubt in doubt_tensors(tensors_found) if doubt != ALIKE or SAME not in doubts]
            for sentence in [*said, *doubt_zeros(results[0]), *(check.wait() if check is not None else [])]:
                watcher.say(f"warning: {sentence}")
            for output, tensors in zip(outputs, results, strict=True):
                report = finish_output(output, parents, tensors, render_card)
                outcomes[output.out] = Outcome(output.out, False, report, report.summary())

    return [outcomes[out] for _, out in jobs]


def _warm_up_beside(arithmetic: Arithmetic) -> None:
    """Load the compiled loops in a thread of their own, for which nobody waits."""
    beside = ThreadPoolExecutor(1, thread_name_prefix="warm-up")
    beside.submit(warm_up, arithmetic)
    beside.shutdown(wait=False)


def describe_left(companions: Companions, config: Mapping[str, Any]) -> list[str]:
    """What of the parents' files is not in the output, and whether the merge loads without their own code."""
    said = []
    if companions.left:
        advice = " (code = true in the recipe copies Python files)" if any(map(is_code, companions.left)) else ""
        said.append(f"not copied from the chat parent: {join(companions.left)}{advice}")
    if companions.code:
        names = f"{', '.join(companions.code)} of the parents name Python code of their own (auto_map)"
        loads = (
            "transformers has the architecture itself"
            if is_built_in(config)
            else f"transformers has no architecture {config.get('model_type')!r} itself: only an engine that knows it "
            "loads the merge"
        )
        said.append(f"{names}, which is not copied; {loads}")
    return said


def check_output(out: Path, recipe: Recipe) -> dict[str, Any] | None:
    """The report of the merged checkpoint at `out`; None if nothing is there.

    Raises OutputRefused: something else is there, or nothing can be put there.
    """
    try:
        if not out.exists():
            nearest = next(folder for folder in out.absolute().parents if folder.exists())
            if not nearest.is_dir() or not os.access(nearest, os.W_OK | os.X_OK):
                raise OutputRefused(f"{out} cannot be written: {nearest} is no folder of yours. Choose another place")
            return None
    except OSError as error:
        raise OutputRefused(f"{out} cannot be looked at: {error.strerror}. Choose another place") from error
    refuse_parents(out, [recipe.base / ref.model for ref, _ in recipe.parents()])
    if out.is_dir() and not any(out.iterdir()):
        return None
    existing = read_report(out) if out.is_dir() else None
    if existing is None:
        raise OutputRefused(
            f"{out} exists and is not a merged checkpoint of ours, so it is not replaced. Choose another place, or "
            "remove it yourself"
        )
    return existing


def refuse_parents(out: Path, folders: Iterable[Path]) -> None:
    """Raise OutputRefused if the output would be one of the parents' folders."""
    if any(out.resolve() == folder.resolve() for folder in folders):
        raise OutputRefused(f"{out} is one of the parents. Choose another folder for the output")


def open_parents(parents: Parents, recipe: Recipe, stack: ExitStack, arithmetic: Arithmetic) -> Pair:
    """The parents opened, until `stack` closes them, and compared. Raises what opening and check_pair raise."""
    folders = {
        side: (parent.folder, *(adapter.folder for adapter in parent.adapters))
        for side, parent in parents.by_side().items()
    }
    return open_folders(folders, recipe, stack, arithmetic)


def open_folders(
    folders: Mapping[str, tuple[Path, ...]], recipe: Recipe, stack: ExitStack, arithmetic: Arithmetic
) -> Pair:
    """The same from folders of models, each with those of its adapters, by side."""
    sources = {side: open_source(folder, adapters, stack, arithmetic) for side, (folder, *adapters) in folders.items()}
    chip, chat, base = sources.pop("chip"), sources.pop("chat"), sources.pop("base", None)
    return join_parents(check_pair(chip, chat, recipe, base), sources, recipe)


def prepare_output(
    recipe: Recipe, out: Path, parents: Parents, pair: Pair, shard_bytes: int | None, stack: ExitStack
) -> Output:
    """The plan, folder, files and journal of one checkpoint; `stack` closes them.

    If the merge fails, `stack` removes the folder. What a killed run of the same merge left is resumed; anything else
    in the folder is removed.
    """
    plans, companions = make_plan(recipe, pair), prepare_companions(recipe, pair)
    shard_bytes = shard_bytes or round(recipe.shard_gb * 1e9)
    folder = stack.enter_context(staged_folder(out, keep_leftover=True))
    key = find_key(recipe, parents, shard_bytes)
    if not is_taken_up(folder, key):
        empty_folder(folder)
        check_room(folder, sum(plan.n_bytes for plan in plans), "the merge")
    journal = stack.enter_context(Journal.open(folder, key))
    writer = stack.enter_context(CheckpointWriter(folder, [plan.spec for plan in plans], shard_bytes))
    for name, raw in companions.files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(raw)
    return Output(recipe, out, folder, plans, companions, writer, journal)


def finish_output(
    output: Output, parents: Parents, tensors: tuple[TensorResult, ...], render_card: Callable[[MergeReport], str]
) -> MergeReport:
    """Write card and report, then give the weights their names."""
    files = describe_files(output)
    rows = next((plan.rows for plan in output.plans if plan.rows is not None), None)
    report = MergeReport(
        output.recipe, parents, tensors, files, rows, output.companions.code, output.companions.left, output.dtypes
    )
    (output.folder / CARD).write_text(render_card(report), encoding="utf-8")
    (output.folder / REPORT).write_text(report.to_json(), encoding="utf-8")
    output.writer.finish()  # late: until its weights have their names, no part of the folder loads
    output.journal.remove()
    return report


def merge_tensors(
    pair: Pair, outputs: Sequence[Output], watcher: Watcher, threads: int, arithmetic: Arithmetic
) -> list[tuple[TensorResult, ...]]:
    """Merge all planned tensors into the writers' files; returns each output's results in the order of the names.

    A thread takes a whole tensor, the largest first, and others compute the pieces of large ones; the number of threads
    changes neither a tensor's pieces nor the order of its sums.
    """
    total_bytes = sum(plan.n_bytes for output in outputs for plan in output.plans)
    watcher.say(f"merging {len(outputs[0].plans)} tensors, {total_bytes / 1e6:.0f} MB")
    if resumed := sum(len(output.journal.done) for output in outputs):
        watcher.say(f"taking up a merge that was interrupted; tensors that are there already: {resumed}")

    results: list[list[TensorResult]] = []
    done_bytes = 0

    with (
        single_threaded_blas(),
        ThreadPoolExecutor(threads, thread_name_prefix="merge") as pool,
        PieceThreads(threads) as pieces,
    ):
        by_size = sorted(
            range(len(outputs[0].plans)), key=lambda n: (-outputs[0].plans[n].n_bytes, outputs[0].plans[n].name)
        )
        futures = {pool.submit(_merge_nth, n, pair, outputs, arithmetic, pieces.map): n for n in by_size}
        try:
            for future in as_completed(futures):
                results.append(future.result())
                done_bytes += sum(output.plans[futures[future]].n_bytes for output in outputs)
                watcher.advance(results[-1][0], done_bytes, total_bytes)
        finally:
            pool.shutdown(wait=True, cancel_futures=True)  # after an error or Ctrl-C, start nothing new

    results.sort(key=lambda of_tensor: of_tensor[0].name)
    return list(zip(*results, strict=True))


def _merge_nth(
    n: int, pair: Pair, outputs: Sequence[Output], arithmetic: Arithmetic, mapped: Mapped
) -> list[TensorResult]:
    """The n-th tensor in every output that lacks it."""
    name = outputs[0].plans[n].name
    results = {k: done for k, output in enumerate(outputs) if (done := _find_done(name, output)) is not None}
    todo = [k for k in range(len(outputs)) if k not in results]
    if todo:
        parts = [(outputs[k].plans[n], outputs[k].writer) for k in todo]
        merged = merge_tensor(parts, pair, outputs[0].recipe.parameters, arithmetic, mapped)
        for k, result in zip(todo, merged, strict=True):
            outputs[k].journal.add(result)
            results[k] = result
    return [results[k] for k in range(len(outputs))]


def _find_done(name: str, output: Output) -> TensorResult | None:
    """The journal's entry for a tensor, if the file still holds the bytes that it describes."""
    done = output.journal.done.get(name)
    return done if done is not None and output.writer.hash_tensor(name) == done.blake3 else None


def describe_files(output: Output) -> dict[str, OutputFile]:
    """Size and BLAKE3 of every file, under its final name.

    A file of weights has the hash of its header; its tensors have their own.
    """
    files = {}
    weights = [path.name for path in output.folder.glob(f"*{PART}")]
    for name in sorted([*output.companions.files, *weights]):
        path = output.folder / name
        name, n_bytes = name.removesuffix(PART), path.stat().st_size
        header = output.writer.headers.get(name)
        files[name] = OutputFile(n_bytes, header_blake3=header) if header else OutputFile(n_bytes, hash_file(path))
    return files
