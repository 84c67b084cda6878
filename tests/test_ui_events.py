"""Chunks of the wire format become events; what is absent or null in them is decided here."""

from __future__ import annotations

from typing import Any

import pytest

from tests.fake_gateway import HITS, quote
from ui.events import Citation, Finished, Shortened, SourcesFound, TextDelta, read_source, read_stream_event


def test_role_chunk_without_text_is_not_an_event() -> None:
    assert (
        list(read_stream_event({"choices": [{"delta": {"role": "assistant", "content": ""}, "finish_reason": None}]}))
        == []
    )


def test_usage_chunk_without_choices_is_not_an_event() -> None:
    assert list(read_stream_event({"choices": [], "usage": {"total_tokens": 9}})) == []


def test_text_becomes_a_delta() -> None:
    assert list(read_stream_event({"choices": [{"delta": {"content": "Use "}}]})) == [TextDelta("Use ")]


def test_retrieval_becomes_sources() -> None:
    (event,) = read_stream_event({"retrieval": {"enabled": True, "query": "q", "hits": list(HITS)}, "choices": []})
    assert isinstance(event, SourcesFound)
    assert event.query == "q"
    assert [(source.number, source.title) for source in event.sources] == [
        (1, "Global Routing"),
        (2, "Antenna effects"),
        (3, "Glossary"),
    ]


def test_quotes_become_places_in_the_passages_text() -> None:
    hit = {**HITS[1], "text": "\x1b[1mBold\x1b[0m. The end.", "page": 3, "version": "2.1", "collection": "h"}
    quotes = [quote(hit, "The end."), {"number": 1, "start": 0, "end": 3}, {"number": 2, "start": 5, "end": 9999}]
    (event,) = read_stream_event({"retrieval": {"query": "q", "hits": [hit], "quotes": quotes, "refused": False}})
    assert isinstance(event, SourcesFound)
    (source,) = event.sources
    assert [source.text[slice(*span)] for span in source.quoted] == ["The end."]
    assert source.place == "Antenna effects › Fixing violations, page 3, version 2.1"
    assert source.quote_link == f"{HITS[1]['url']}?quote={source.quoted[0][0]}-{source.quoted[0][1]}#quote"


def test_quotes_that_follow_each_other_are_one_place() -> None:
    hit = {**HITS[1], "text": "One.  Two.\n\nThree. Four."}
    source = read_source(hit, [quote(hit, "Two."), quote(hit, "One."), quote(hit, "Three.")])
    assert [source.text[slice(*span)] for span in source.quoted] == ["One.  Two.\n\nThree."]


def test_a_place_counts_in_the_text_as_it_was_sent() -> None:
    hit = {**HITS[1], "text": "\x1b[1mOne.\x1b[0m Two. Three."}
    source = read_source(hit, [quote(hit, "Three.")]).with_quoted([(quote(hit, "One.")["start"], 99), (4, 8), (4, 8)])
    assert [source.text[slice(*span)] for span in source.quoted] == ["One.", "Three."]


def test_a_place_names_some_of_the_places_with_the_same_text() -> None:
    others = [{"collection": f"router@2.{number}", "path": "a.md"} for number in range(4)]
    hit = {**HITS[0], "collection": "h", "copies": [{"collection": "h", "path": "b.md"}, *others]}
    assert read_source(hit).place.endswith(", the same in b.md, router@2.0, router@2.1 and 2 more")
    assert "the same" not in read_source({**hit, "copies": []}).place


def test_version_in_a_collections_name_is_said_once_and_public_addresses_stay() -> None:
    source = read_source({**HITS[0], "version": "2.1", "collection": "router@2.1"}, [quote(HITS[0], "diode cells")])
    assert source.place == "Global Routing › Commands › Repair Antennas"
    assert source.quote_link == HITS[0]["url"]
    assert read_source({**HITS[0], "version": "5c9e4871" * 5}).place.endswith(", version 5c9e48715")


def test_refusal_is_what_the_gateway_says_and_nothing_else() -> None:
    for said, is_refused in ((True, True), (False, False), (None, False)):
        assert list(read_stream_event({"retrieval": {"query": "q", "hits": [], "refused": said}})) == [
            SourcesFound((), "q", is_refused)
        ]


def test_a_log_that_was_cut_is_told() -> None:
    sent = {"retrieval": {"query": "q", "hits": [], "shortened": {"lines": 9023, "kept": 127}}}
    assert list(read_stream_event(sent)) == [SourcesFound((), "q", shortened=Shortened(9023, 127))]


def test_a_task_on_own_text_is_told_from_a_greeting() -> None:
    reasons = {"task": True, "own_context": True, "no_question": False, "off": False, None: False}
    for reason, is_own_text in reasons.items():
        sent: dict[str, Any] = {"retrieval": {"query": None, "hits": [], "not_searched": reason}}
        assert list(read_stream_event(sent)) == [SourcesFound((), "", is_own_text=is_own_text)]


def test_retrieval_without_hits_is_said_too() -> None:
    assert list(read_stream_event({"retrieval": {"enabled": True, "query": "q", "hits": []}})) == [
        SourcesFound((), "q")
    ]
    assert list(read_stream_event({"retrieval": {"enabled": True, "query": None, "hits": []}})) == [
        SourcesFound((), "")
    ]


def test_chunk_without_retrieval_finds_no_sources() -> None:
    assert list(read_stream_event({"retrieval": None, "choices": None})) == []


def test_last_text_and_the_end_may_share_a_chunk() -> None:
    annotation = {
        "type": "url_citation",
        "number": 2,
        "url_citation": {"url": "http://d", "title": "D", "start_index": 3, "end_index": 6},
    }
    chunk = {
        "model": "m",
        "choices": [{"delta": {"content": "end", "annotations": [annotation]}, "finish_reason": "stop"}],
    }
    assert list(read_stream_event(chunk)) == [
        TextDelta("end"),
        Finished("stop", (Citation(2, "D", "http://d", 3, 6),), "m"),
    ]


def test_end_without_citations_cites_nothing() -> None:
    (end,) = read_stream_event({"choices": [{"delta": {}, "finish_reason": "length"}]})
    assert isinstance(end, Finished)
    assert (end.finish_reason, end.cited, end.model) == ("length", (), "")


def test_passage_cited_twice_counts_once_in_order() -> None:
    citations = tuple(Citation(number, "", "", 0, 0) for number in (3, 1, 3))
    assert Finished("stop", citations, "m").cited == (1, 3)


def test_hit_without_licence_page_or_score_is_read() -> None:
    source = read_source(
        {"number": 1, "path": "a/b.md", "text": "t", "title": None, "licence": None, "url": None, "score": None}
    )
    assert (source.title, source.licence, source.url, source.score, source.link) == ("a/b.md", "", "", 0.0, "")


def test_hit_without_number_is_an_error() -> None:
    with pytest.raises(KeyError):
        read_source({"title": "T"})


def test_heading_leaves_out_the_title_that_it_repeats() -> None:
    assert read_source(HITS[0]).heading == "Commands › Repair Antennas"
    assert read_source(HITS[2]).heading == ""
    assert read_source({**HITS[0], "title": "Another"}).heading == "Global Routing › Commands › Repair Antennas"


def test_only_web_addresses_are_links() -> None:
    assert read_source(HITS[0]).link == HITS[0]["url"]
    assert read_source({**HITS[0], "url": "javascript:alert(1)"}).link == ""
    assert read_source({**HITS[0], "url": "file:///etc/passwd"}).link == ""
