"""The model card (README.md) of a merged checkpoint, from its report. Pure text: it reads and writes no files.

    text = render_card(report)
"""

from __future__ import annotations

from merge.parents import Parent
from merge.report import MergeReport, find_versions

UNKNOWN_LICENCE = "not stated"


def render_card(report: MergeReport) -> str:
    """The card as Markdown with the front matter that model hubs read."""
    recipe = report.recipe
    return f"""---
library_name: transformers
pipeline_tag: text-generation
tags: [merge, chipalign, eda]
{_front_matter_licence(report)}---

# {recipe.name}

A merge of a chip-domain model and a chat model of the same architecture, made without training, by geodesic interpolation of the
weights (ChipAlign, [arXiv 2412.19819](https://arxiv.org/abs/2412.19819)). Each tensor was interpolated on the sphere of directions at
lam = {recipe.lam:g} (0 is the chat model, 1 the chip model) and given the weighted geometric mean of both norms.

## Parents

| | model | revision | licence | sha256 of the content |
|---|---|---|---|---|
{_parent_rows("chip", report.chip)}
{_parent_rows("chat", report.chat)}

## Recipe

| method | lam | dtype |
|---|---|---|
| {recipe.method} | {recipe.lam:g} | {recipe.dtype} |

Config, tokenizer, chat template and generation config are the chat parent's. Made with {", ".join(f"{k} {v}" for k, v in find_versions().items())}.

## What came of it

{_describe_totals(report)}

`merge_report.json` has both norms, the angle and the branch of every tensor, and the sha256 of every file.

## How to load it

```python
from transformers import AutoModelForCausalLM, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained("{recipe.name}")
model = AutoModelForCausalLM.from_pretrained("{recipe.name}")
```

or `vllm serve {recipe.name}`, where `{recipe.name}` is this folder.

## Licence

Both parents' licences, and those of their adapters and their data, apply to the merge: see the table above and the parents' own cards.
"""


def _front_matter_licence(report: MergeReport) -> str:
    known = {parent.licence for parent in _sources(report.chip) + _sources(report.chat)}
    if known == {None} or None in known:
        return ""
    names = sorted(str(licence).lower() for licence in known)
    return f"license: {names[0]}\n" if len(names) == 1 else f"license: other\nlicense_name: {'-and-'.join(names)}\n"


def _sources(parent: Parent) -> list[Parent]:
    return [parent] if parent.adapter is None else [parent, parent.adapter]


def _parent_rows(side: str, parent: Parent) -> str:
    rows = [f"| {side} | {parent.ref} | {parent.revision or ''} | {parent.licence or UNKNOWN_LICENCE} | `{parent.sha256}` |"]
    if adapter := parent.adapter:
        rows.append(f"| {side} adapter | {adapter.ref} | {adapter.revision or ''} | {adapter.licence or UNKNOWN_LICENCE} | `{adapter.sha256}` |")
    return "\n".join(rows)


def _describe_totals(report: MergeReport) -> str:
    totals = report.summary()
    branches = ", ".join(f"{count} {branch}" for branch, count in totals["branches"].items())
    text = f"{totals['tensors']} tensors with {totals['parameters']:,} parameters; branches: {branches}."
    if theta := report.theta:
        text += f" The angle between the parents is {theta.median:.2f} degrees in the median, at most {theta.max:.2f} (`{theta.max_tensor}`)."
    return text
