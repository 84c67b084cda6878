"""The document that a conversation is kept as, checked with an independent CommonMark parser."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from tests.fake_gateway import HITS, judged
from ui.conversation import Turn, fail
from ui.events import read_source
from ui.page.transcript import to_markdown
from ui.verification import read_verification

SOURCES = tuple(read_source(hit) for hit in HITS)
ANSWERED = Turn("What is hold slack?", "answered", "The margin of the early path.", SOURCES, "hold slack", (1,), "stop")


def test_markdown_holds_question_answer_and_sources() -> None:
    text = to_markdown((ANSWERED,))
    assert text.startswith(
        "# ChipAlign conversation\n\n## Question\n\n> What is hold slack?\n\n## Answer\n\nThe margin of the early path."
    )
    assert "**[1]** Global Routing › Commands › Repair Antennas (cited)" in text
    assert "**[2]** Antenna effects › Fixing violations\n" in text
    assert HITS[0]["url"] in text
    assert "javascript:" not in text


def test_markdown_says_how_a_turn_ended() -> None:
    text = to_markdown((Turn("q", "stopped", "half"), fail(Turn("r"), "It broke.")))
    assert "half\n\n(stopped before its end)" in text
    assert "(no answer)\n\n(It broke.)" in text


def test_markdown_says_what_no_passage_supports() -> None:
    found = read_verification(judged("Run it. Always **so**.", "Always **so**."))
    text = to_markdown((Turn("q", "answered", "Run it. Always **so**.", SOURCES, "q", (1,), verification=found),))
    assert "(The passages do not support 1 sentence (listed below).)" in text
    assert "- not supported: Always \\*\\*so\\*\\*." in text
    assert ":red-background" not in text


def test_passage_that_holds_a_fence_cannot_end_its_own() -> None:
    source = read_source({**HITS[0], "text": "````\ncode\n````"})
    assert "`````text\n````\ncode\n````\n`````" in to_markdown((Turn("q", "answered", "a", (source,)),))


@given(st.text(alphabet="ab `~\n#>-*|", max_size=60))
def test_every_passage_is_one_fence_of_the_downloaded_document(text: str) -> None:
    """Read by an independent CommonMark parser, whatever the passage holds."""
    source = replace(SOURCES[0], text=text)
    document = to_markdown((replace(ANSWERED, sources=(source, SOURCES[1])),))
    fences = [token.content for token in MarkdownIt("commonmark").parse(document) if token.type == "fence"]
    assert fences == [f"{text.removesuffix(chr(10))}\n", f"{SOURCES[1].text}\n"]


@given(st.text(alphabet="ab \n#>`", min_size=1, max_size=40).filter(str.strip))
def test_a_question_stays_inside_its_quotation_in_the_downloaded_document(question: str) -> None:
    headings = MarkdownIt("commonmark").parse(to_markdown((replace(ANSWERED, question=question),)))
    top = [token for token in headings if token.level == 0 and token.type == "heading_open"]
    assert [token.tag for token in top] == ["h1", "h2", "h2", "h3"]


def test_opening_the_document_fetches_nothing_and_links_to_sources_alone() -> None:
    picture = "![x](http://evil.example/p.png)"
    source = read_source(
        {
            **HITS[0],
            "title": picture,
            "heading_path": [picture],
            "path": f"{picture}.md",
            "text": picture,
            "licence": picture,
        }
    )
    document = to_markdown((fail(Turn(picture, "answered", f"a ` b {picture}\n\nc ` d", (source,)), picture),))
    inline = [child for token in MarkdownIt("commonmark").parse(document) for child in token.children or ()]
    assert not [child for child in inline if child.type in ("image", "html_inline")]
    assert {child.attrs["href"] for child in inline if child.type == "link_open"} == {source.link}
