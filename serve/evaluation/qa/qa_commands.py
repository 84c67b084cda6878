"""The command `chipalign eval qa`: files and a model server in, a table or one JSON document out.

It measures nothing itself: `qa_run` does, and is imported where it is needed, so that `--help` answers at once.

    chipalign eval qa --corpus openroad_documentation.json --questions dev.jsonl --context golden \\
        --url http://127.0.0.1:8001 --answers merged.jsonl
    chipalign eval qa --index my-index/ --questions q.jsonl --context retrieved \\
        --url http://127.0.0.1:8001 --compare chat.jsonl --json
    chipalign eval qa --index my-index/ --questions q.jsonl --context retrieved --answer quote
"""

from __future__ import annotations

from typing import Any

from rag.command_line import write_result
from rag.settings import RagSettings
from serve.evaluation.qa.qa_arguments import parse_arguments

_COLUMN = 20  # "0.725 [0.601, 0.838]"


def qa(argv: list[str]) -> int:
    """`chipalign eval qa --questions Q.jsonl --context golden|retrieved --url URL ... [--json]`.

    Raises RagError, ServeError: the input is wrong.
    """
    args = parse_arguments(argv)
    from serve.evaluation.qa.qa_run import run_qa

    result = run_qa(args, RagSettings.from_env())
    write_result(result, _draw, args.json)
    return 0


def _draw(result: dict[str, Any]) -> list[str]:
    """The result as lines for people."""
    settings, counts, latency, tokens = (result[part] for part in ("settings", "counts", "latency_ms", "tokens"))
    lines = [
        f"model     {settings['model']}{' at ' if result['url'] else ''}{result['url']}",
        (
            f"asked     {counts['questions']} questions of {result['asked']['path']}, {settings['context']} context of "
            f"{result['searched']['path']}"
        ),
        (
            f"answers   {counts['answered_by_model']} by the model ({counts['cut_at_max_tokens']} cut at "
            f"{settings['max_tokens']} tokens), {counts['answered_in_quotes']} in quotes, {counts['nothing_found']} "
            f"where nothing was found; {counts['passages_left_out']} contexts not whole"
        ),
        f"tokens    {tokens['prompt']} read, {tokens['completion']} written; counted by {settings['tokens_of']}",
    ]

    if latency:
        lines.append(
            f"latency   p50 {latency['p50'] / 1000:.1f} s, p95 {latency['p95'] / 1000:.1f} s, up to "
            f"{settings['concurrency']} requests in flight"
        )

    lines += ["", *draw_measures(result["measures"], signed=False)]
    unknown = result["reference_answers"]["unknown_command"]["mean"]
    lines += ["", f"unknown_command of the reference answers themselves: {unknown:.3f}"]
    if "differences" in result:
        lines += ["", f"difference from {result['differences']['from']['path']}, paired"]
        lines += draw_measures(result["differences"]["measures"], signed=True)
    return lines


def draw_measures(measures: dict[str, Any], signed: bool) -> list[str]:
    """One line per measure, one column per kind of question; each value with its 95 % interval.

    "-" marks a measure that applies to no question.
    """
    form = "+.3f" if signed else ".3f"
    titles = [f"{kind} ({group['questions']})" for kind, group in measures.items()]
    widths = [max(_COLUMN + 3 * signed, len(title)) for title in titles]  # three signs more
    names = [name for name in next(iter(measures.values())) if name != "questions"]

    rows = [("", titles)]
    for name in names:
        cells = [group[name] for group in measures.values()]
        rows.append(
            (
                name,
                [
                    f"{cell['mean']:{form}} [{cell['low']:{form}}, {cell['high']:{form}}]" if cell else "-"
                    for cell in cells
                ],
            )
        )

    return [
        f"{name:<15}  {'  '.join(f'{cell:<{width}}' for cell, width in zip(cells, widths, strict=True))}".rstrip()
        for name, cells in rows
    ]
