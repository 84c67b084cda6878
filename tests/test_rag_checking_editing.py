"""rag.checking.editing: only what is supported goes through, with what leads to it; however it arrives the same is
shown.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from rag.checking.editing import Editor
from rag.checking.sentences import Part
from rag.checking.support import Sentence, is_claim
from tests.rows import for_each


def judge(part: Part, text: str) -> Sentence | None:
    """Whatever says "wrong" is wrong; the first passage supports the rest."""
    if part.kind == "code":
        return Sentence(part.start, part.end, float("wrong" not in text))
    return (
        Sentence(part.start, part.end, 0.1 if "wrong" in text else 0.9, () if "wrong" in text else (1,))
        if is_claim(text, part)
        else None
    )


def edit(answer: str, is_cut_off: bool = False) -> tuple[str, Editor]:
    editor = Editor(judge)
    return editor.feed(answer) + editor.close(is_cut_off), editor


@for_each(
    ("answer", "shown"),
    [
        ("Use the core ring. This is wrong advice.", "Use the core ring."),
        ("This is wrong advice. Use the core ring.", "Use the core ring."),
        (
            "Use the core ring. Some wrong advice.\n\nBuild the power grid.",
            "Use the core ring.\n\nBuild the power grid.",
        ),
        ("Some wrong advice.\nMore wrong advice.", ""),
        ("## Grid\n\nUse the core ring.", "## Grid\n\nUse the core ring."),
        ("## Grid\n\nSome wrong advice.\n\n## Ring\n\nUse the core ring.", "## Ring\n\nUse the core ring."),
        (
            "Do it so:\n- use the core ring\n- take wrong advice\n- build power grids",
            "Do it so:\n- use the core ring\n- build power grids",
        ),
        ("Do it so:\n- take wrong advice\n\nBuild the power grid.", "Build the power grid."),
        ("Run this:\n```tcl\npdngen\n```\nDone with it.", "Run this:\n```tcl\npdngen\n```"),
        ("Run this:\n```tcl\nwrong\n```\nBuild the power grid.", "Build the power grid."),
        (
            "| Pin | Use |\n|---|---|\n| a1 | wrong thing |\n| b2 | power grid |",
            "| Pin | Use |\n|---|---|\n| b2 | power grid |",
        ),
        ("| Pin | Use |\n|---|---|\n| a1 | wrong thing |", ""),
        ("Use the core ring [1][2]. Build grids [2].", "Use the core ring [1]. Build grids."),
        ("Here it is.", ""),
        ("", ""),
    ],
)
def test_what_is_supported_is_shown(answer: str, shown: str) -> None:
    found, editor = edit(answer)
    assert found == shown
    assert all(found[one.start : one.end].strip() for one in editor.sentences)
    assert editor.length == len(found)


def test_the_dropped_are_counted_and_the_kept_have_their_places() -> None:
    shown, editor = edit("Some wrong advice. Use the core ring [2]. More wrong advice. Build the power grid [1].")
    assert editor.dropped == 2
    assert [shown[one.start : one.end] for one in editor.sentences] == [
        "Use the core ring.",
        "Build the power grid [1].",
    ]


def test_half_a_sentence_is_left_out() -> None:
    assert edit("Use the core ring. Build the pow", is_cut_off=True)[0] == "Use the core ring."


PIECES = [
    "Use the core ring. ",
    "This is wrong advice. ",
    "Build the power grid [1] [2].",
    "\n",
    "\n\n",
    "- item of the grid\n",
    "So:\n",
    "## Head\n",
    "| a b | c d |\n",
    "|---|---|\n",
    "```tcl\npdngen\n```\n",
    "```\nwrong\n",
    "Hm",
    " ",
]


@given(st.lists(st.sampled_from(PIECES), max_size=12).map("".join), st.integers(1, 9))
def test_however_the_answer_arrives_the_same_is_shown(answer: str, size: int) -> None:
    whole, once = edit(answer)
    editor, shown = Editor(judge), ""
    for at in range(0, len(answer), size):
        shown += editor.feed(answer[at : at + size])
        assert whole.startswith(shown)
    assert shown + editor.close() == whole
    assert (editor.sentences, editor.dropped) == (once.sentences, once.dropped)
    assert "wrong advice" not in whole
