"""The model card (README.md) of a merged checkpoint, from its report. Pure text: it reads and writes no files.

    text = render_card(report)

All that it says is also in merge_report.json; the card is for people, and its front matter for model hubs.
"""

from __future__ import annotations

import re

from merge.errors import printable
from merge.merging.report import MergeReport, describe_combined, describe_dtypes, find_versions
from merge.models.parents import Parent, Parents
from merge.models.vocabulary import RowMap
from merge.recipe import CHAT_TEMPLATES, DECISIONS, Recipe, describe_lam

UNKNOWN_LICENCE = "not stated"
# As hubs name licences; anything else would put a stranger's text into the YAML
LICENCE = re.compile(r"[a-z0-9][a-z0-9.+-]{0,60}")
METHODS = {
    "geodesic": (
        "by geodesic interpolation of the weights (ChipAlign, [arXiv 2412.19819](https://arxiv.org/abs/2412.19819))"
    ),
    "linear": "by linear interpolation of the weights",
    "slerp": "by spherical interpolation of the weights, norms included",
    "soup": "as a uniform model soup ([arXiv 2203.05482](https://arxiv.org/abs/2203.05482))",
    "task_arithmetic": (
        "by task arithmetic on a common base model ([arXiv 2212.04089](https://arxiv.org/abs/2212.04089))"
    ),
    "ties": "by TIES on a common base model ([arXiv 2306.01708](https://arxiv.org/abs/2306.01708))",
    "dare": "by DARE on a common base model ([arXiv 2311.03099](https://arxiv.org/abs/2311.03099))",
    "della": "by DELLA on a common base model ([arXiv 2406.11617](https://arxiv.org/abs/2406.11617))",
}
_CHAT = "chat template, processors and generation config are the chat parent's."
COMPANIONS = {  # by the recipe's vocab
    "refuse": f"Config, tokenizer, {_CHAT}",
    "chat": f"Config, tokenizer, {_CHAT}",
    "chip": f"The tokenizer is the chip parent's; config, {_CHAT}",
    "union": f"The tokenizer holds the chat parent's tokens and after them the chip parent's; config, {_CHAT}",
}


def render_card(report: MergeReport, *, with_plots: bool = False) -> str:
    """The card as Markdown with the front matter that model hubs read.

    with_plots: show the pictures that merge.commands.plots puts beside it.
    """
    recipe = report.recipe
    return f"""---
library_name: transformers
pipeline_tag: text-generation
tags: [merge, chipalign, eda]
{_front_matter_licence(report)}---

# {recipe.name}

A merge of a chip-domain model and a chat model of the same architecture, made without training: \
{METHODS[recipe.method]}.
Each tensor was merged by itself {_describe_shares(recipe)}{_geodesic_scale(recipe)}.

## Parents

| | model | revision | licence | BLAKE3 of the content |
|---|---|---|---|---|
{_parent_rows(report.parents)}

## Recipe

| method | lam | dtype |
|---|---|---|
| {recipe.method} | {"by weights" if recipe.is_weighted else describe_lam(recipe.lam)} | \
{describe_dtypes(report.summary())} |

{_describe_choices(recipe, report.rows, report.code)}
Made with {", ".join(f"{k} {v}" for k, v in find_versions().items())}.

## What came of it

{_describe_totals(report)}
{_pictures(with_plots)}
`merge_report.json` has both norms, the angle and the branch of every tensor, and the BLAKE3 of every tensor and
file (as `b3sum` prints it); `chipalign merge verify` compares them.

## How to load it

```python
from transformers import AutoModelForCausalLM, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained("{recipe.name}")
model = AutoModelForCausalLM.from_pretrained("{recipe.name}")
```

or `vllm serve {recipe.name}`, where `{recipe.name}` is this folder.

## Licence

All parents' licences, and those of their adapters and their data, apply to the merge: \
see the table above and the parents' own cards.
"""


def _front_matter_licence(report: MergeReport) -> str:
    known = {parent.licence for given in report.parents.by_side().values() for parent in _sources(given)}
    names = sorted({str(licence).lower() for licence in known})
    if None in known or not all(map(LICENCE.fullmatch, names)):
        return ""
    return f"license: {names[0]}\n" if len(names) == 1 else f"license: other\nlicense_name: {'-and-'.join(names)}\n"


def _describe_shares(recipe: Recipe) -> str:
    if not recipe.is_weighted:
        return f"at lam = {describe_lam(recipe.lam)} (0 is the chat model, 1 the chip model)"
    return "with the weights " + ", ".join(f"{describe_lam(w)} ({side})" for side, w in recipe.weights.items())


def _geodesic_scale(recipe: Recipe) -> str:
    return " and given the weighted geometric mean of the norms" if recipe.method == "geodesic" else ""


def literal(text: str) -> str:
    """Somebody else's text, escaped so that Markdown and a table's cell show it as it is."""
    shown = printable(text).replace("|", "\\|")
    fence = "`" * (max(map(len, re.findall("`+", shown)), default=0) + 1)
    space = " " if shown.startswith("`") or shown.endswith("`") else ""
    return f"{fence}{space}{shown}{space}{fence}" if shown.strip() else ""


def _describe_choices(recipe: Recipe, rows: RowMap | None, code: tuple[str, ...]) -> str:
    """The recipe's other decisions, one line each, and the origin of the files beside the weights."""
    lines = [
        f"- {key}: {value:g}" if isinstance(value, float) else f"- {key}: {value}"
        for key, value in recipe.describe_parameters().items()
    ]

    lines += [
        f"- density of the {side} parent: {describe_lam(ref.density)}"
        for side, ref in recipe.givers.items()
        if ref.density is not None
    ]
    lines += [
        f"- layers: {each.layers[0]} to {each.layers[1]} of {'both parents' if each.parent == 'both' else each.parent}"
        for each in recipe.slices
    ]
    for number, rule in enumerate(recipe.schedule, start=1):
        where = [f"layers {rule.layers[0]} to {rule.layers[1]}"] if rule.layers else []
        where += [f"tensors {literal(rule.tensors)}"] if rule.tensors else []
        lines.append(f"- schedule {number}: lam = {describe_lam(rule.lam)} for {' and '.join(where)}")
    if recipe.include:
        lines.append(f"- merged: {', '.join(map(literal, recipe.include))}; all else is the chat parent's")
    if recipe.exclude:
        lines.append(f"- not merged, but the chat parent's: {', '.join(map(literal, recipe.exclude))}")

    lines += [
        f"- where the parents differ, {key}: {value}"
        for key in DECISIONS
        if (value := getattr(recipe, key)) != "refuse"
    ]
    if rows is not None:
        counts = rows.count()
        lines.append(
            f"- vocabulary: {counts['rows']} rows, matched by token: {counts['merged']} merged, {counts['chip_only']} "
            f"the chip parent's alone, {counts['chat_only']} the chat parent's alone"
        )

    files = COMPANIONS["refuse" if rows is None else recipe.vocab]
    if recipe.chat_template != "chat":
        named = recipe.chat_template if recipe.chat_template in CHAT_TEMPLATES else "the recipe's own"
        files += f" The chat template is {named}."
    if code:
        files += f" Python code of the parents' own, which {', '.join(code)} named (auto_map), was left out."

    return "\n".join([*lines, *([""] if lines else []), files])


def _pictures(with_plots: bool) -> str:
    names = {
        "theta_over_depth": "Angle between the parents over depth",
        "theta_by_projection": "Angle between the parents by layer and projection",
        "norms_over_depth": "Norms of both parents over depth",
        "geodesic_against_linear": "How far a geodesic and a linear merge differ",
    }
    return (
        "\n".join(["", *(f"![{text}](pictures/{name}.png)" for name, text in names.items()), ""]) if with_plots else ""
    )


def _sources(parent: Parent) -> list[Parent]:
    return [parent, *parent.adapters]


def _parent_rows(parents: Parents) -> str:
    named = []
    for side, parent in parents.by_side().items():
        named += [(side, parent), *((f"{side} adapter", adapter) for adapter in parent.adapters)]
    return "\n".join(
        f"| {what} | {literal(each.ref)} | {literal(each.revision or '')} | "
        f"{literal(each.licence) if each.licence else UNKNOWN_LICENCE} | `{each.blake3}` |"
        for what, each in named
    )


def _describe_totals(report: MergeReport) -> str:
    totals = report.summary()
    branches = ", ".join(f"{count} {branch}" for branch, count in totals["branches"].items())
    text = f"{totals['tensors']} tensors with {totals['parameters']:,} parameters; branches: {branches}."
    if theta := report.theta:
        text += (
            f" The angle between the parents is {theta.median:.2f} degrees in the median, at most {theta.max:.2f} "
            f"({literal(theta.max_tensor)})."
        )
    if combined := describe_combined(totals):
        text += f" {combined}"
    return text
