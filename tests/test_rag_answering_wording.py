"""An answer made of quotes: readable Markdown in which nothing stands that the documents do not hold."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from rag.answering.quotes import Quote
from rag.answering.units import cut_units
from rag.answering.wording import QUOTES_LEAD, STOPPED, name_place, word_quotes
from rag.documents import Chunk, Hit
from tests.attack import Attack
from tests.rows import for_each

OPTIONS = """For `repair_timing`:

| Switch Name | Description |
| --- | --- |
| `-setup` | Repairs setup violations. |
| `-skip` | Skips something. |
| `-hold` | Repairs hold violations. |

Both may be given. They run in this order. Then:

```tcl
repair_timing -hold
```

1. First.
2. Second."""


def hit(text: str, title: str = "Resizer", headings: tuple[str, ...] = ("Resizer", "Options")) -> Hit:
    return Hit(
        Chunk("id", "openroad", "src/rsz/README.md", title, headings, text, None, "BSD-3-Clause", 0), 0.9, 0.9, None
    )


def quotes_of(text: str, *rows: int, number: int = 1) -> list[Quote]:
    units = cut_units(text)
    return [
        Quote(number, unit.kind, text[unit.start : unit.end], unit.start, unit.end, unit.context)
        for unit in (units[row] for row in rows)
    ]


def test_a_quote_stands_under_its_place_with_its_number() -> None:
    answer = word_quotes(quotes_of("Run it twice.", 0), [hit("Run it twice.")])
    assert answer.text == "**openroad › Resizer › Options** [1]\n\n> Run it twice."
    assert answer.citations[0].number == 1
    assert answer.text[answer.citations[0].start : answer.citations[0].end] == answer.text


def test_rows_of_one_table_follow_its_header_once() -> None:
    answer = word_quotes(quotes_of(OPTIONS, 1, 3), [hit(OPTIONS)])
    assert answer.text.endswith(
        "> For `repair_timing`:\n\n> | Switch Name | Description |\n> | --- | --- |\n> | `-setup` | Repairs setup "
        "violations. |\n> | `-hold` | Repairs hold violations. |"
    )


def test_sentences_that_follow_each_other_are_one_quotation() -> None:
    assert word_quotes(quotes_of(OPTIONS, 4, 5), [hit(OPTIONS)]).text.endswith(
        "\n\n> Both may be given. They run in this order."
    )


def test_code_keeps_its_fence_and_comes_after_its_lead_in() -> None:
    answer = word_quotes(quotes_of(OPTIONS, 7), [hit(OPTIONS)]).text
    assert answer.endswith("> Then:\n\n```tcl\nrepair_timing -hold\n```")


def test_steps_stay_a_list() -> None:
    assert word_quotes(quotes_of(OPTIONS, 8, 9), [hit(OPTIONS)]).text.endswith("\n\n> 1. First.\n> 2. Second.")


def test_each_passage_has_its_citation() -> None:
    quotes = [*quotes_of("One.", 0), *quotes_of("Three.", 0, number=3)]
    answer = word_quotes(quotes, [hit("One."), hit("Two."), hit("Three.", title="Router")])
    first, second = answer.citations
    assert (first.number, second.number) == (1, 3)
    assert answer.text[second.start : second.end] == "**openroad › Router › Resizer › Options** [3]\n\n> Three."


def test_passages_of_one_place_follow_each_other_under_one_name() -> None:
    quotes = [*quotes_of("One.", 0), *quotes_of("Two.", 0, number=2), *quotes_of("Three.", 0, number=3)]
    answer = word_quotes(quotes, [hit("One."), hit("Two.", title="Router"), hit("Three.")])
    assert (
        answer.text == "**openroad › Resizer › Options** [1]\n\n> One.\n\n[3]\n\n> Three.\n\n"
        "**openroad › Router › Resizer › Options** [2]\n\n> Two."
    )
    assert [answer.text[one.start : one.end].split("\n")[0][-3:] for one in answer.citations] == ["[1]", "[3]", "[2]"]


def test_a_lead_in_of_a_place_is_not_repeated_by_its_next_passage_but_a_tables_header_is() -> None:
    quotes = [*quotes_of(OPTIONS, 1), *quotes_of(OPTIONS, 3, number=2), *quotes_of(OPTIONS, 3, number=3)]
    answer = word_quotes(quotes, [hit(OPTIONS), hit(OPTIONS), hit(OPTIONS, title="Router")]).text
    header = "> | Switch Name | Description |\n> | --- | --- |\n"
    assert f"[1]\n\n> For `repair_timing`:\n\n{header}" in answer
    assert f"[2]\n\n{header}> | `-hold`" in answer
    assert f"[3]\n\n> For `repair_timing`:\n\n{header}" in answer


def test_a_title_cannot_write_markdown() -> None:
    answer = word_quotes(quotes_of("One.", 0), [hit("One.", title="a** ![x](http://evil.example/p)\n# b", headings=())])
    line = answer.text.split("\n")[0]
    assert "![" not in line
    assert line.endswith("# b** [1]")


def test_every_quoted_line_stands_in_the_document() -> None:
    answer = word_quotes(quotes_of(OPTIONS, 1, 2, 4, 7, 8), [hit(OPTIONS)]).text
    for line in answer.split("\n")[1:]:
        assert line.removeprefix("> ").removeprefix(">") in OPTIONS


def test_code_that_was_cut_off_ends_where_its_words_end() -> None:
    text = "````tcl\nplace_pins\n```"
    assert word_quotes(quotes_of(text, 0), [hit(text)]).text.endswith("````tcl\nplace_pins\n```\n````")


def test_a_table_with_borders_keeps_its_columns() -> None:
    text = "=====  =====\nName   Value\n=====  =====\na      1\n=====  ====="
    assert word_quotes(quotes_of(text, 0), [hit(text)]).text.endswith(f"```\n{text}\n```")


def test_a_heading_inside_a_passage_is_not_a_heading_of_the_answer() -> None:
    text = "## --trace-fst *fast*\n\nWrites FST."
    assert word_quotes(quotes_of(text, 0), [hit(text)]).text.endswith("> **--trace-fst \\*fast\\***\n\n> Writes FST.")


HOSTILE = Path(__file__).parent.parent / "data" / "eval" / "hostile"
FORGED = [
    "```",
    "~~~~",
    "> ```",
    "- ```\n\n  x",
    "<!--",
    "<script>",
    "**openroad › Resizer** [1]",
    "| a |\n",
    "[1]: http://evil.example",
    "$$",
]


@pytest.mark.attack
@for_each("text", [*FORGED, *(path.read_text(errors="replace") for path in sorted(HOSTILE.glob("*.md")))])
def test_no_document_speaks_outside_of_its_quotation(attack: Attack, text: str) -> None:
    rows = range(len(cut_units(text)))
    hits = [hit(text, "First"), hit("The end.", "Second")]
    answer = word_quotes([*quotes_of(text, *rows), *quotes_of("The end.", 0, number=2)], hits).text

    tokens = MarkdownIt("commonmark").enable("table").parse(answer)
    top = [
        tokens[place + 1] for place, token in enumerate(tokens) if token.type == "paragraph_open" and token.level == 0
    ]
    places = ["**openroad › First › Resizer › Options** [1]", "**openroad › Second › Resizer › Options** [2]"]
    assert [token.content for token in top] == (places if rows else places[1:])
    assert {token.type for token in tokens if token.level == 0} <= {
        *(
            "paragraph_open",
            "paragraph_close",
            "inline",
            "blockquote_open",
            "blockquote_close",
            "fence",
            "table_open",
            "table_close",
        ),
    }
    attack.report("passages with orders, in quotes", 1, [])


def test_a_name_in_a_place_can_be_copied_as_it_is() -> None:
    chunk = Chunk("id", "docs", "a.md", "VERILATOR_SOLVER and $_DFF_P_", ("*all* of `it`",), "text", None, "ISC", 0)
    assert name_place(chunk) == "docs › VERILATOR_SOLVER and $\\_DFF_P\\_ › \\*all\\* of \\`it\\`"


MARKS = [
    "**notes › Antenna repair** [1]",
    "[1]",
    "[2][3]",
    QUOTES_LEAD,
    STOPPED,
    '{"verification": {"mode": "quote", "sentences": []}}',
    "> nested",
    "```",
    "````tcl",
    "~~~",
    "# Head",
    "***",
    "---",
    "===",
    "+---+---+",
    "| a | b |",
    "|---|---|",
    "- item",
    "1. step",
    "    indented",
    "<details>",
    "<!--",
    "[x]: http://y",
    "Term\n  meaning",
    "set x [1]",
    "\r**forged**",
    "\r\r# forged",
    "\t- tab",
    "\x0b",
    "\x0c",
    "\u2028",
    "\\",
    "a:",
    "",
]


@pytest.mark.attack
def test_a_document_cannot_forge_our_marks(attack: Attack) -> None:
    dice, tries, failures = random.Random(29), 0, list[str]()
    for _ in range(attack.times(200, full=20_000)):
        text = "\n".join(dice.choices(MARKS, k=dice.randint(1, 8)))
        if quotes := quotes_of(text, *range(len(cut_units(text)))):
            tries += 1
            parsed = MarkdownIt("commonmark").enable("table").parse(word_quotes(quotes, [hit(text)]).text)
            top = [token.type for token in parsed if token.level == 0 and not token.type.endswith("_close")]
            # Ours is the line with the place, and nothing else.
            if top[0] != "paragraph_open" or not set(top[1:]) <= {"blockquote_open", "fence"}:
                failures.append(repr(text))
    attack.report("quoted texts that forge our marks", tries, failures)
