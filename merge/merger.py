"""The merge as a whole: two parents in, one checkpoint folder out, streamed piece by piece.

What happens to each tensor, as in ChipAlign (arXiv 2412.19819): every tensor of floating point is merged alike, each by itself, at
the recipe's lam. That is
  matrices of attention and MLP               model.layers.*.self_attn.*_proj.weight, model.layers.*.mlp.*_proj.weight
  norm vectors and biases                     model.layers.*layernorm.weight, model.norm.weight, *.bias: as vectors, like any other
  embeddings                                  model.embed_tokens.weight: one tensor, one angle, not one per token
  tied embeddings                             stored once, as model.embed_tokens.weight, and so merged once
  lm_head.weight, where untied                merged by itself
  scalars                                     tensors of one element: theta is 0, or pi for opposite signs, which is refused
and one branch per tensor (merge.geodesic.find_arc) says which case it was. Tensors of whole numbers or truth values (buffers of some
architectures) cannot be interpolated: they must be equal in both parents and are copied (branch "copied").

Config, tokenizer, chat template and generation config are the chat parent's. This file does not decide whether two models fit
(merge.pairing) nor what a coefficient is (merge.geodesic).

    outcome = merge_parents(recipe, Path("out"), settings, render_card)
"""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from merge.adapters import Adapter, FoldedCheckpoint
from merge.baselines import combine_base, find_line, prepare
from merge.checkpoint import DTYPES, PART, SHARD_BYTES, Checkpoint, CheckpointWriter, TensorReader, TensorSource
from merge.companions import prepare_companions
from merge.errors import OutputFull, OutputRefused, TensorOverflow, TensorsDiffer
from merge.geodesic import CHUNK, Arc, Sums, TensorResult, check_finite, combine, find_arc, measure
from merge.pairing import Pair, check_pair
from merge.parents import Parent, Resolver, hash_file
from merge.plan import Segment, TensorPlan, make_plan
from merge.recipe import BASE_METHODS, Parameters, Recipe
from merge.report import REPORT, MergeReport, OutputFile, is_same_merge, read_report
from merge.settings import MergeSettings
from merge.staging import staged_folder

CARD = "README.md"

class Watcher:
    """Hears how a merge goes on; this one keeps silent. The command line's draws."""

    def say(self, text: str) -> None:
        """A step begins."""

    def advance(self, result: TensorResult, done_bytes: int, total_bytes: int) -> None:
        """A tensor was written."""


@dataclass(frozen=True)
class Outcome:
    """Where the checkpoint is and, unless it was there already, what happened."""

    checkpoint_dir: Path
    reused: bool
    report: MergeReport | None  # None if reused
    totals: dict[str, Any]  # as in the report


def merge_parents(
    recipe: Recipe,
    out: Path,
    settings: MergeSettings,
    render_card: Callable[[MergeReport], str],
    *,
    force: bool = False,
    watcher: Watcher | None = None,
    shard_bytes: int = SHARD_BYTES,
) -> Outcome:
    """Merge as the recipe says and put the checkpoint at `out`, whole or not at all.

    An `out` that holds this very merge already is left as it is, unless `force`. render_card gives the text of README.md.
    Raises the MergeErrors of all its parts; a failed merge leaves `out` as it was.
    """
    watcher = watcher or Watcher()
    resolver = Resolver(recipe.base, settings, watcher.say)
    chip, chat = resolver.resolve(recipe.chip, "chip"), resolver.resolve(recipe.chat, "chat")
    base = resolver.resolve(recipe.base_model, "base") if recipe.base_model and recipe.method in BASE_METHODS else None
    existing = check_output(out, chip, chat)
    if existing and not force and is_same_merge(existing, recipe, chip, chat, out):
        return Outcome(out, True, None, existing["totals"])
    with ExitStack() as stack:
        chip_source, chat_source = (_open_parent(parent, stack) for parent in (chip, chat))
        base_source = None if base is None else _open_parent(base, stack)
        pair = check_pair(chip_source, chat_source, recipe, base_source)
        plans, companions = make_plan(recipe, pair), prepare_companions(recipe, pair)
        folder = stack.enter_context(staged_folder(out))
        check_room(folder, sum(plan.n_bytes for plan in plans))
        writer = stack.enter_context(CheckpointWriter(folder, [plan.spec for plan in plans], shard_bytes))
        tensors = merge_tensors(pair, plans, recipe.parameters, writer, watcher)
        for name, raw in companions.items():
            (folder / name).write_bytes(raw)
        watcher.say("hashing the merged files")
        report = MergeReport(recipe, chip, chat, tensors, describe_files(folder))
        (folder / CARD).write_text(render_card(report), encoding="utf-8")
        (folder / REPORT).write_text(report.to_json(), encoding="utf-8")
        writer.finish()  # last: until its weights have their names, no part of the folder loads
    return Outcome(out, False, report, report.summary())


def check_output(out: Path, chip: Parent, chat: Parent) -> dict[str, Any] | None:
    """The report of a merged checkpoint at `out`, None if nothing is there. Raises OutputRefused for anything else."""
    if not out.exists():
        return None
    if any(out.resolve() == parent.folder.resolve() for parent in (chip, chat)):
        raise OutputRefused(f"{out} is one of the parents. Choose another folder for the output")
    if out.is_dir() and not any(out.iterdir()):
        return None
    existing = read_report(out) if out.is_dir() else None
    if existing is None:
        raise OutputRefused(f"{out} exists and is no merged checkpoint of ours, so it is not replaced. Choose another place, or remove it yourself")
    return existing


def _open_parent(parent: Parent, stack: ExitStack) -> TensorSource:
    checkpoint = stack.enter_context(Checkpoint.open(parent.folder))
    if parent.adapter is None:
        return checkpoint
    return FoldedCheckpoint(checkpoint, stack.enter_context(Adapter.open(parent.adapter.folder)))


def merge_tensors(
    pair: Pair, plans: Sequence[TensorPlan], parameters: Parameters, writer: CheckpointWriter, watcher: Watcher
) -> tuple[TensorResult, ...]:
    """Merge all planned tensors into the writer's files; results in the order of the names.

    Threads take whole tensors, the largest first; a tensor's pieces and the order of its sums are the same for any number of threads.
    """
    total_bytes = sum(plan.n_bytes for plan in plans)
    watcher.say(f"merging {len(plans)} tensors, {total_bytes / 1e6:.0f} MB")
    results: list[TensorResult] = []
    done_bytes = 0
    with _single_threaded_torch(), ThreadPoolExecutor(count_cores(), thread_name_prefix="merge") as pool:
        by_size = sorted(plans, key=lambda plan: (-plan.n_bytes, plan.name))
        futures = {pool.submit(merge_tensor, pair, plan, parameters, writer): plan for plan in by_size}
        try:
            for future in as_completed(futures):
                results.append(future.result())
                done_bytes += futures[future].n_bytes
                watcher.advance(results[-1], done_bytes, total_bytes)
        finally:
            pool.shutdown(wait=True, cancel_futures=True)  # after an error or Ctrl-C, start nothing new
    return tuple(sorted(results, key=lambda result: result.name))


def merge_tensor(pair: Pair, plan: TensorPlan, parameters: Parameters, writer: CheckpointWriter) -> TensorResult:
    """Merge one tensor: a pass for the sums, which give the coefficients, and a pass for the result. Readers are opened now and not all
    at the start: an adapter's matrices are loaded when their turn comes.

    Raises TensorNotFinite, TensorsOpposite, TensorOverflow and TensorsDiffer.
    """
    chip, chat = (None if name is None else source.tensor(name) for name, source in ((plan.chip, pair.chip), (plan.chat, pair.chat)))
    base = pair.base.tensor(plan.base) if pair.base is not None and plan.base is not None else None
    dtype = DTYPES[plan.dtype]
    shared = [segment for segment in plan.segments() if segment.chip is not None and segment.chat is not None]
    arc = Arc(plan.lam, 1 - plan.lam, 0.0, 0.0, None, "copied")
    if chip is not None and chat is not None and (shared or not plan.numel):
        pieces = [piece for segment in shared for piece in split_segment(segment, plan)]
        sums = Sums.total(measure(_read(chip, p.chip, p.count), _read(chat, p.chat, p.count)) for p in pieces)
        sides = (("chip", chip, [p.chip for p in pieces]), ("chat", chat, [p.chat for p in pieces]))
        arc = find_coefficients(
            plan, sums, ((side, p.out, _read(reader, at, p.count)) for side, reader, starts in sides for p, at in zip(pieces, starts, strict=True))
        )
        mix = None
        if plan.method in BASE_METHODS:
            assert base is not None

            def _differences(side: str) -> Iterator[torch.Tensor]:
                for p in pieces:
                    reader, at = (chip, p.chip) if side == "chip" else (chat, p.chat)
                    yield _read(reader, at, p.count).float() - _read(base, p.base, p.count).float()

            shape = plan.shape if plan.rows is None else (sum(s.count for s in shared) // max(math.prod(plan.shape[1:]), 1), *plan.shape[1:])
            mix = prepare(plan.method, plan.lam, plan.name, shape, parameters, _differences)
        for p in pieces:
            ours, theirs = _read(chip, p.chip, p.count), _read(chat, p.chat, p.count)
            origin = _read(base, p.base, p.count) if mix is not None else None
            merged = combine(ours, theirs, arc, dtype) if mix is None or origin is None else combine_base(ours, theirs, origin, mix, p.out, dtype)
            _write(writer, plan, p.out, merged)
    for segment in plan.segments():
        if segment.chip is None or segment.chat is None:
            for p in split_segment(segment, plan):
                alone = _read(chip, p.chip, p.count) if p.chat is None else _read(chat, p.chat, p.count)
                _write(writer, plan, p.out, alone.to(dtype))
    return TensorResult(plan.name, plan.shape, arc.chip_norm, arc.chat_norm, arc.theta, arc.branch)


def find_coefficients(plan: TensorPlan, sums: Sums, pieces: Iterable[tuple[str, int, torch.Tensor]]) -> Arc:
    """The record of one tensor, with the coefficients where its method has two. `pieces` are read only to name a NaN or Inf."""
    norms = (sums.chip**0.5, sums.chat**0.5)
    if plan.method == "identical":
        if sums.difference != 0.0:
            raise TensorsDiffer(f"tensor {plan.name} is {plan.dtype}, which cannot be interpolated, and differs between the parents")
        return Arc(0.0, 1.0, *norms, None, "copied")
    check_finite(sums, plan.name, pieces)
    if plan.method == "geodesic":
        return find_arc(sums, plan.lam, plan.name)
    line = find_line(sums, plan.lam)
    return line if plan.method in ("linear", "soup") else replace(line, branch="copied" if plan.method == "copy" else "mixed")


def _read(reader: TensorReader | None, start: int | None, count: int) -> torch.Tensor:
    assert reader is not None
    assert start is not None
    return reader.read(start, start + count)


def _write(writer: CheckpointWriter, plan: TensorPlan, start: int, piece: torch.Tensor) -> None:
    if piece.dtype is torch.float16 and not bool(torch.isfinite(piece).all()):
        raise TensorOverflow(f"tensor {plan.name}: a merged value is beyond float16's largest, 65504. Set dtype to bfloat16 or float32")
    writer.write(plan.name, start, piece)


def split_segment(segment: Segment, plan: TensorPlan) -> Iterator[Segment]:
    """Pieces of about CHUNK elements, cut at row boundaries, where an adapter is cheapest to fold.

    DELLA needs whole rows, and a vector is one row to it.
    """
    row = (plan.shape[-1] if len(plan.shape) > 1 else segment.count if plan.method == "della" else 1) or 1
    step = max(CHUNK // row, 1) * row
    for start in range(0, segment.count, step):
        moved = [None if at is None else at + start for at in (segment.chip, segment.chat, segment.base)]
        yield Segment(segment.out + start, min(step, segment.count - start), *moved)


def split_spans(shape: tuple[int, ...]) -> list[tuple[int, int]]:
    """(start, stop) of pieces of about CHUNK elements that cover a tensor, cut at row boundaries, where an adapter is cheapest to fold."""
    numel = torch.Size(shape).numel()
    row = shape[-1] if len(shape) > 1 and shape[-1] else 1
    step = max(CHUNK // row, 1) * row
    return [(start, min(start + step, numel)) for start in range(0, numel, step)]


def count_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def _single_threaded_torch() -> Iterator[None]:
    """Our threads take a tensor each; torch's own would contend with them, and sum in an order that depends on their number."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def check_room(folder: Path, needed_bytes: int) -> None:
    """Raise OutputFull if the disk of `folder` has less than `needed_bytes` free."""
    free_bytes = shutil.disk_usage(folder).free
    if free_bytes < needed_bytes:
        raise OutputFull(f"{folder.parent} has {free_bytes / 1e9:.1f} GB free, the merge needs {needed_bytes / 1e9:.1f} GB. Choose another place")


def describe_files(folder: Path) -> dict[str, OutputFile]:
    """Size and sha256 of every file in the folder, under the name that it will have."""
    return {path.name.removesuffix(PART): OutputFile(path.stat().st_size, hash_file(path)) for path in sorted(folder.iterdir())}
