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

import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from merge.adapters import Adapter, FoldedCheckpoint
from merge.checkpoint import DTYPE_NAMES, DTYPES, PART, SHARD_BYTES, Checkpoint, CheckpointWriter, TensorReader, TensorSource, TensorSpec
from merge.errors import OutputFull, OutputRefused, TensorOverflow, TensorsDiffer
from merge.geodesic import CHUNK, Arc, Sums, TensorResult, check_finite, combine, find_arc, measure
from merge.pairing import FLOATS, check_pair
from merge.parents import Parent, Resolver, hash_file
from merge.recipe import Recipe
from merge.report import REPORT, MergeReport, OutputFile, is_same_merge, read_report
from merge.settings import MergeSettings
from merge.staging import staged_folder

CARD = "README.md"
# The chat parent's files that go with its weights, as far as it has them.
COMPANIONS = (
    "generation_config.json", "chat_template.jinja", "chat_template.json", "tokenizer.json", "tokenizer_config.json", "tokenizer.model",
    "special_tokens_map.json", "added_tokens.json", "vocab.json", "merges.txt",
)  # fmt: skip


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
    existing = check_output(out, chip, chat)
    if existing and not force and is_same_merge(existing, recipe, chip, chat, out):
        return Outcome(out, True, None, existing["totals"])
    with ExitStack() as stack:
        chip_source, chat_source = (_open_parent(parent, stack) for parent in (chip, chat))
        check_pair(chip_source, chat_source)
        folder = stack.enter_context(staged_folder(out))
        specs = plan_tensors(chat_source, recipe.dtype)
        check_room(folder, sum(spec.n_bytes for spec in specs))
        writer = stack.enter_context(CheckpointWriter(folder, specs, shard_bytes))
        tensors = merge_tensors(chip_source, chat_source, recipe.lam, specs, writer, watcher)
        copy_companions(chat.folder, folder, recipe.dtype)
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


def plan_tensors(chat: TensorSource, dtype: str) -> list[TensorSpec]:
    """The output's tensors: the parents', those of floating point in the recipe's dtype."""
    code = DTYPE_NAMES[getattr(torch, dtype)]
    return [replace(spec, dtype=code) if spec.dtype in FLOATS else spec for spec in chat.specs.values()]


def merge_tensors(
    chip: TensorSource, chat: TensorSource, lam: float, specs: Sequence[TensorSpec], writer: CheckpointWriter, watcher: Watcher
) -> tuple[TensorResult, ...]:
    """Merge all tensors of `specs` into the writer's files; results in the order of the names.

    Threads take whole tensors, the largest first; a tensor's pieces and the order of its sums are the same for any number of threads.
    """
    total_bytes = sum(spec.n_bytes for spec in specs)
    watcher.say(f"merging {len(specs)} tensors, {total_bytes / 1e6:.0f} MB")
    results: list[TensorResult] = []
    done_bytes = 0
    with _single_threaded_torch(), ThreadPoolExecutor(count_cores(), thread_name_prefix="merge") as pool:
        by_size = sorted(specs, key=lambda spec: (-spec.n_bytes, spec.name))
        futures = {pool.submit(_merge_named, chip, chat, lam, spec, writer): spec for spec in by_size}
        try:
            for future in as_completed(futures):
                results.append(future.result())
                done_bytes += futures[future].n_bytes
                watcher.advance(results[-1], done_bytes, total_bytes)
        finally:
            pool.shutdown(wait=True, cancel_futures=True)  # after an error or Ctrl-C, start nothing new
    return tuple(sorted(results, key=lambda result: result.name))


def _merge_named(chip: TensorSource, chat: TensorSource, lam: float, target: TensorSpec, writer: CheckpointWriter) -> TensorResult:
    """merge_tensor with readers that are opened now and not all at the start: an adapter's matrices are loaded when their turn comes."""
    return merge_tensor(chip.tensor(target.name), chat.tensor(target.name), lam, target, writer)


def merge_tensor(chip: TensorReader, chat: TensorReader, lam: float, target: TensorSpec, writer: CheckpointWriter) -> TensorResult:
    """Merge one tensor: a pass for the sums, which give the coefficients, and a pass for the result.

    Raises TensorNotFinite, TensorsOpposite, TensorOverflow and TensorsDiffer.
    """
    name, dtype, spans = target.name, DTYPES[target.dtype], split_spans(target.shape)
    sums = Sums.total(measure(chip.read(*span), chat.read(*span)) for span in spans)
    if target.dtype not in FLOATS:
        if sums.difference != 0.0:
            raise TensorsDiffer(f"tensor {name} is {target.dtype}, which cannot be interpolated, and differs between the parents")
        arc = Arc(0.0, 1.0, sums.chip**0.5, sums.chat**0.5, None, "copied")
    else:
        check_finite(sums, name, ((side, span[0], reader.read(*span)) for side, reader in (("chip", chip), ("chat", chat)) for span in spans))
        arc = find_arc(sums, lam, name)
    for start, stop in spans:
        merged = combine(chip.read(start, stop), chat.read(start, stop), arc, dtype)
        if dtype is torch.float16 and not bool(torch.isfinite(merged).all()):
            raise TensorOverflow(f"tensor {name}: a merged value is beyond float16's largest, 65504. Set dtype to bfloat16 or float32")
        writer.write(name, start, merged)
    return TensorResult(name, target.shape, arc.chip_norm, arc.chat_norm, arc.theta, arc.branch)


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


def copy_companions(chat: Path, folder: Path, dtype: str) -> None:
    """Copy the chat parent's tokenizer, chat template and generation config, and its config with the output's dtype."""
    for name in COMPANIONS:
        if (chat / name).is_file():
            shutil.copyfile(chat / name, folder / name)
    config = json.loads((chat / "config.json").read_text(encoding="utf-8"))
    config.pop("_name_or_path", None)  # where the parent lay on its maker's disk
    config.pop("torch_dtype", None)  # the name of `dtype` before transformers 4.56
    config["dtype"] = dtype
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def describe_files(folder: Path) -> dict[str, OutputFile]:
    """Size and sha256 of every file in the folder, under the name that it will have."""
    return {path.name.removesuffix(PART): OutputFile(path.stat().st_size, hash_file(path)) for path in sorted(folder.iterdir())}
