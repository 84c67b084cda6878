"""The model card: a stranger's text stays text, licences are the parents', and each decision of a recipe is a line."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from merge.arithmetic.geodesic import TensorResult
from merge.merging.card import METHODS, UNKNOWN_LICENCE, literal, render_card
from merge.merging.report import MergeReport, OutputFile
from merge.models.parents import Parent, Parents
from merge.models.vocabulary import RowMap, RowRun
from merge.recipe import METHODS as KNOWN_METHODS
from merge.recipe import ParentRef, Recipe, Rule, Slice
from tests.rows import for_each

RECIPE = Recipe(ParentRef("chip"), ParentRef("chat"), base=Path())
CHIP = Parent("chip", Path("c"), "aa", {}, licence="mit")
CHAT = Parent("chat", Path("i"), "bb", {}, revision="v1", licence="mit")
TENSOR = TensorResult("model.norm.weight", (2, 3), 1.0, 2.0, 0.1, "geodesic", lam=0.6)
MARKDOWN = MarkdownIt("commonmark").enable("table")


def card(parents: Parents | None = None, **values: Any) -> str:
    more = {key: values.pop(key) for key in ("rows", "code") if key in values}
    report = MergeReport(
        replace(RECIPE, **values), parents or Parents(CHIP, CHAT), (TENSOR,), {"w": OutputFile(12)}, **more
    )
    return render_card(report)


@for_each(
    ("text", "shown"),
    [
        ("plain", "`plain`"),
        ("", ""),
        ("  ", ""),
        ("a|b", "`a\\|b`"),
        ("a`b", "``a`b``"),
        ("`", "`` ` ``"),
        ("a``b`", "``` a``b` ```"),
        ("a\nb", "`a\\nb`"),
        ("\x1b[2J", "`\\x1b[2J`"),
        ("größe", "`größe`"),
        ("<script>", "`<script>`"),
    ],
)
def test_a_strangers_text_is_shown_as_it_is(text: str, shown: str) -> None:
    assert literal(text) == shown


@settings(max_examples=50)
@given(st.text("ab`|*<>[]()!#\\ \n$&", max_size=12))
def test_no_text_leaves_its_cell_or_becomes_markup(text: str) -> None:
    html = MARKDOWN.render(f"| head | more |\n|---|---|\n| {literal(text)} | end |\n")
    assert html.count("<td>") == 2
    assert "<td>end</td>" in html
    assert not re.search(r"<(em|strong|a|img|script|h\d)\b", html)


@for_each(
    ("licences", "front"),
    [
        (("mit", "mit"), "license: mit\n"),
        (("MIT", "mit"), "license: mit\n"),
        (("mit", "apache-2.0"), "license: other\nlicense_name: apache-2.0-and-mit\n"),
        (("mit", None), ""),
        ((None, None), ""),
        (("mit", "x: y\nz"), ""),
        (("mit", "see [this](there)"), ""),
        (("mit", "x" * 62), ""),
    ],
)
def test_the_front_matter_has_the_licences_that_can_stand_there(
    licences: tuple[str | None, str | None], front: str
) -> None:
    chip, chat = (replace(parent, licence=one) for parent, one in zip((CHIP, CHAT), licences, strict=True))
    text = card(Parents(chip, chat))
    head = text.split("---\n")[1]
    assert "".join(line for line in head.splitlines(keepends=True) if line.startswith("license")) == front
    assert text.count(UNKNOWN_LICENCE) == licences.count(None)


def test_an_adapters_licence_counts_too() -> None:
    adapter = Parent("lora", Path("l"), "cc", {}, licence="cc-by-4.0")
    text = card(Parents(replace(CHIP, adapters=(adapter, replace(adapter, licence=None))), CHAT))
    assert "license:" not in text.split("---\n")[1]
    assert text.count("| chip adapter | `lora` |") == 2
    text = card(Parents(replace(CHIP, adapters=(adapter,)), CHAT))
    assert "license_name: cc-by-4.0-and-mit" in text


def test_every_parent_has_a_row_in_the_order_of_the_recipe() -> None:
    parents = Parents(
        CHIP, CHAT, base=replace(CHAT, ref="base"), more={"third": replace(CHIP, ref="a|b", revision="`x`")}
    )
    rows = [line for line in card(parents).splitlines() if line.endswith("` |") and line.startswith("| ")]
    assert rows == [
        "| chip | `chip` |  | `mit` | `aa` |",
        "| chat | `chat` | `v1` | `mit` | `bb` |",
        "| base | `base` | `v1` | `mit` | `bb` |",
        "| third | `a\\|b` | `` `x` `` | `mit` | `aa` |",
    ]


@for_each("method", KNOWN_METHODS)
def test_every_method_is_described_with_its_parameters(method: str) -> None:
    text = card(method=method)
    assert f"{METHODS[method]}." in text
    assert ("- density: " in text) is (method in ("ties", "dare", "della"))
    assert ("- seed: 0" in text) is (method in ("dare", "della"))
    assert ("geometric mean of the norms" in text) is (method == "geodesic")


@for_each(
    ("values", "line"),
    [
        ({"lam": (0.2, 0.8)}, "at lam = 0.2 to 0.8 over depth (0 is the chat model, 1 the chip model)"),
        ({"schedule": (Rule(0.5, (0, 3)),)}, "- schedule 1: lam = 0.5 for layers 0 to 3"),
        (
            {"schedule": (Rule(0.5, (0, 3), "*.mlp.*"),)},
            "- schedule 1: lam = 0.5 for layers 0 to 3 and tensors `*.mlp.*`",
        ),
        ({"include": ("*.mlp.*", "a|b")}, "- merged: `*.mlp.*`, `a\\|b`; all else is the chat parent's"),
        ({"exclude": ("lm_head*",)}, "- not merged, but the chat parent's: `lm_head*`"),
        ({"config": "chip"}, "- where the parents differ, config: chip"),
        (
            {"slices": (Slice((0, 3)), Slice((2, 5), "chip"))},
            "- layers: 0 to 3 of both parents\n- layers: 2 to 5 of chip",
        ),
        ({"chip": ParentRef("chip", density=0.25)}, "- density of the chip parent: 0.25"),
        ({"chip": ParentRef("chip", weight=2.0)}, "with the weights 2 (chip), 1 (chat)"),
        ({"chat_template": "chatml"}, "The chat template is chatml."),
        ({"chat_template": "{{ odd }}"}, "The chat template is the recipe's own."),
        ({"code": ("config.json",)}, "which config.json named (auto_map), was left out."),
    ],
)
def test_each_decision_of_a_recipe_is_said(values: dict[str, Any], line: str) -> None:
    assert line in card(**values)
    assert line not in card()


def test_rows_of_two_vocabularies_are_counted() -> None:
    rows = RowMap(9, (RowRun(0, 4, 0, 0), RowRun(4, 2, 4, None), RowRun(6, 3, None, 4)))
    text = card(rows=rows, vocab="union")
    assert "9 rows, matched by token: 4 merged, 2 the chip parent's alone, 3 the chat parent's alone" in text
    assert "The tokenizer holds the chat parent's tokens and after them the chip parent's" in text


def test_pictures_are_shown_only_where_there_are_some() -> None:
    report = MergeReport(RECIPE, Parents(CHIP, CHAT), (TENSOR,), {})
    assert "pictures/" not in render_card(report)
    assert render_card(report, with_plots=True).count("](pictures/") == 4
