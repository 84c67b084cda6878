"""Answers as Slack's messages, within Slack's limits, and threads read back as conversations."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tests.fake_gateway import HITS, NOTHING_FOUND, judged, quote, supported
from tests.fake_slack import BOT, BOT_ID, PERSON, fault_of, kind_of, text_of, texts_of
from tests.rows import for_each
from ui.conversation import DEMO_WORD, Turn, take_event
from ui.events import Finished, read_source
from ui.slack.mrkdwn import UNSUPPORTED_SIGN
from ui.slack.slack_blocks import CUT_OFF, NO_ANSWER, SEARCHING, WRITING, answer_messages, read_thread, shown_sources
from ui.verification import read_verification

SOURCES = tuple(read_source(hit) for hit in HITS)
ANSWERED = Turn("How?", "answered", "Run `repair_antennas` [1].", SOURCES, "q", (1,), "stop")
ASKED_TS = "1700000001.000100"


def kinds(messages: list[dict[str, Any]]) -> list[list[str]]:
    return [[kind_of(block) for block in message["blocks"]] for message in messages]


def posted(turn: Turn, question_ts: str, ts: str) -> list[dict[str, Any]]:
    """The messages of an answer as Slack gives them back, the first with `ts`."""
    contents = answer_messages(turn, question_ts, 1)
    return [
        {"user": BOT, "bot_id": BOT_ID, "ts": f"{float(ts) + number:.6f}", **content}
        for number, content in enumerate(contents)
    ]


def asked(text: str, ts: str, **changes: Any) -> dict[str, Any]:
    return {"type": "message", "user": PERSON, "text": text, "ts": ts, **changes}


def test_question_that_was_just_asked_shows_a_placeholder() -> None:
    messages = answer_messages(Turn("How?"), ASKED_TS)
    assert kinds(messages) == [["note"]]
    assert messages[0]["text"] == text_of(messages[0]["blocks"][0]) == SEARCHING


def test_growing_answer_says_that_it_goes_on() -> None:
    messages = answer_messages(Turn("How?", "answering", "Run", SOURCES), ASKED_TS)
    assert kinds(messages) == [["answer", "note"]]
    assert texts_of(messages, "note") == [WRITING]


def test_answer_has_its_sources_below() -> None:
    messages = answer_messages(ANSWERED, ASKED_TS)
    assert kinds(messages) == [["answer", "sources"]]
    assert texts_of(messages, "answer") == [f"Run `repair_antennas` <{HITS[0]['url']}|[1]>."]
    assert texts_of(messages, "sources")[0].split("\n") == [
        f"<{HITS[0]['url']}|[1] Global Routing › Commands › Repair Antennas>",
        f"<{HITS[1]['url']}|[2] Antenna effects › Fixing violations>",
        "[3] Glossary",
    ]


def test_what_was_checked_stands_between_the_answer_and_its_sources() -> None:
    code = {
        "start": 0,
        "end": 3,
        "language": "tcl",
        "verdict": "faulty",
        "diagnostics": [{"line": 3, "message": "no <brace>"}],
    }
    found = read_verification(judged("Run it. Always.", "Always.", code=[code]))
    messages = answer_messages(
        replace(ANSWERED, answer="Run it. Always.", verification=found, model="chipalign-demo"), ASKED_TS
    )
    assert kinds(messages) == [["answer", "note", "sources"]]
    assert texts_of(messages, "answer") == [f"Run it. {UNSUPPORTED_SIGN} Always."]
    assert texts_of(messages, "note")[0].split("\n") == [
        f"The passages do not support 1 sentence (marked {UNSUPPORTED_SIGN}).",
        "Code: parsed as Tcl: 1 error, line 3: no &lt;brace&gt;",
        DEMO_WORD,
    ]


def test_sign_of_ours_is_not_part_of_what_was_said() -> None:
    found = read_verification(judged("Run it. Always.", "Always."))
    turn = replace(ANSWERED, answer="Run it. Always.", verification=found)
    (read,) = read_thread([asked("how?", "100.1"), *posted(turn, "100.1", "101.1")], BOT, "110.1", is_direct=True)
    assert read.answer == "Run it. Always."


def test_findings_without_end_still_fit_into_a_message() -> None:
    many = [{"start": 0, "end": 1, "language": "x" * 400, "verdict": "ok"}] * 30
    for message in answer_messages(replace(ANSWERED, verification=read_verification({"code": many})), ASKED_TS):
        assert fault_of(message) == ""


def test_source_of_a_quote_leads_to_it_on_the_gateways_page() -> None:
    source = read_source({**HITS[1], "version": "1.2", "page": 4}, [quote(HITS[1], "jumper")])
    (line,) = texts_of(answer_messages(replace(ANSWERED, sources=(source,)), ASKED_TS), "sources")
    start = HITS[1]["text"].index("jumper")
    label = "[2] Antenna effects › Fixing violations, page 4, version 1.2"
    assert line == f"<{HITS[1]['url']}?quote={start}-{start + 6}#quote|{label}>"


def test_source_of_a_models_words_leads_to_what_supports_them() -> None:
    end = Finished("stop", (), "m", read_verification(supported("Run it.", quote(HITS[1], "jumper"))))
    turn = take_event(replace(ANSWERED, sources=(read_source(HITS[1]),)), end)
    (line,) = texts_of(answer_messages(turn, ASKED_TS), "sources")
    start = HITS[1]["text"].index("jumper")
    assert line.startswith(f"<{HITS[1]['url']}?quote={start}-{start + 6}#quote|")


def test_slack_itself_finds_no_links_or_mentions_in_any_text() -> None:
    (message,) = answer_messages(Turn("How?", "failed", "Run", SOURCES, problem="It broke."), ASKED_TS)
    texts = [
        text for block in message["blocks"] for text in ([block["text"]] if "text" in block else block["elements"])
    ]
    assert len(texts) == 5
    assert all(text["type"] == "mrkdwn" and text["verbatim"] is True for text in texts)


def test_question_that_nothing_answers_has_no_sources() -> None:
    messages = answer_messages(Turn("Who?", "answered", NOTHING_FOUND, (), "q", (), "stop"), ASKED_TS)
    assert kinds(messages) == [["answer"]]
    assert texts_of(messages, "answer") == [NOTHING_FOUND]


def test_failure_is_a_sentence_below_what_had_come() -> None:
    messages = answer_messages(Turn("How?", "failed", "Run ", problem="It broke off at <b> & c."), ASKED_TS)
    assert kinds(messages) == [["answer", "problem"]]
    assert texts_of(messages, "problem") == ["It broke off at &lt;b&gt; &amp; c."]
    assert kinds(answer_messages(Turn("How?", "failed", "", SOURCES, problem="No."), ASKED_TS)) == [["problem"]]


def test_answer_that_was_cut_off_says_so_and_an_empty_one_too() -> None:
    assert texts_of(answer_messages(Turn("How?", "answered", "Run", finish_reason="length"), ASKED_TS), "note") == [
        CUT_OFF
    ]
    assert texts_of(answer_messages(Turn("How?", "answered", " \n"), ASKED_TS), "note") == [NO_ANSWER]
    assert texts_of(answer_messages(Turn("How?", "answered", ""), ASKED_TS), "note") == [NO_ANSWER]


def test_title_of_a_document_cannot_mention_or_end_its_link() -> None:
    hit = {**HITS[0], "title": "<!channel> | x>", "heading_path": ["a\n<@U1>"]}
    (line,) = texts_of(answer_messages(Turn("How?", "answered", "Run", (read_source(hit),)), ASKED_TS), "sources")
    assert line == f"<{HITS[0]['url']}|[1] &lt;!channel&gt; | x&gt; › a &lt;@U1&gt;>"


def test_of_many_sources_ten_are_shown_the_cited_ones_among_them() -> None:
    many = tuple(read_source({**HITS[0], "number": number, "title": "T" * 400}) for number in range(1, 16))
    turn = Turn("How?", "answered", "Run", many, "q", (2, 14))
    assert [source.number for source in shown_sources(turn)] == [1, 2, 3, 4, 5, 6, 7, 8, 9, 14]
    (message,) = answer_messages(turn, ASKED_TS)
    assert fault_of(message) == ""


def test_ten_sources_with_endless_addresses_and_titles_still_fit() -> None:
    many = tuple(
        read_source({**HITS[0], "number": number, "title": "&" * 400, "url": "https://h/" + "x" * 450})
        for number in range(1, 11)
    )
    for answer in ("Run.", "x" * 8_900):
        messages = answer_messages(Turn("How?", "answered", answer, many, "q"), ASKED_TS)
        assert [fault_of(message) for message in messages] == [""] * len(messages)
        assert "https://" not in texts_of(messages, "sources")[0]
        assert texts_of(messages, "sources")[0].startswith("[1] &amp;")


@for_each(
    "answer", ["word " * 10_000, "```\n" + "puts $x\n" * 6_000 + "```", "\n\n".join(["line <&>"] * 4_000), "x" * 60_000]
)
def test_long_answer_is_several_messages_that_slack_takes(answer: str) -> None:
    messages = answer_messages(Turn("How?", "answered", answer, SOURCES, "q", (), "stop"), ASKED_TS)
    assert len(messages) > 1
    assert [fault_of(message) for message in messages] == [""] * len(messages)
    assert [("sources" in kind) for kind in kinds(messages)] == [False] * (len(messages) - 1) + [True]
    assert all(text.count("```") % 2 == 0 for text in texts_of(messages, "answer"))
    ids = [block["block_id"] for message in messages for block in message["blocks"]]
    assert len(set(ids)) == len(ids)


@given(
    st.text(alphabet="ab <>&!@*_`\n#[]()|-1.", max_size=200),
    st.sampled_from(["answering", "answered", "stopped", "failed"]),
)
def test_slack_takes_every_turn(answer: str, state: Any) -> None:
    for message in answer_messages(
        Turn("How?", state, answer, SOURCES, "q", (), "stop", "Broken." if state == "failed" else ""), ASKED_TS
    ):
        assert fault_of(message) == ""
        assert "<!" not in str(message)
        assert "<@" not in str(message)


def test_each_revision_has_block_ids_of_its_own() -> None:
    ids = [
        block["block_id"]
        for revision in range(3)
        for block in answer_messages(ANSWERED, ASKED_TS, revision)[0]["blocks"]
    ]
    assert len(set(ids)) == len(ids) == 6
    assert max(map(len, ids)) <= 255


def test_thread_becomes_its_turns() -> None:
    thread = [
        asked(f"<@{BOT}> what is slack?", "100.1"),
        *posted(ANSWERED, "100.1", "101.1"),
        asked(f"<@{BOT}> and for hold?", "110.1"),
    ]
    assert read_thread(thread, BOT, "110.1", is_direct=False) == (
        Turn("what is slack?", "answered", "Run `repair_antennas` [1]."),
    )


def test_long_answer_comes_back_whole() -> None:
    answer = "\n\n".join(f"{number} " + "word " * 300 for number in range(40))
    thread = [asked("long?", "100.1"), *posted(Turn("long?", "answered", answer), "100.1", "101.1")]
    (turn,) = read_thread(thread, BOT, "200.1", is_direct=True)
    assert turn.answer.split() == answer.split()


def test_what_people_say_to_each_other_in_a_channel_is_left_out() -> None:
    thread = [
        asked("does anybody know?", "99.1"),
        asked(f"<@{BOT}> what?", "100.1"),
        *posted(ANSWERED, "100.1", "101.1"),
        asked("thanks!", "102.1"),
    ]
    assert [turn.question for turn in read_thread(thread, BOT, "110.1", is_direct=False)] == ["what?"]
    assert [turn.question for turn in read_thread(thread, BOT, "110.1", is_direct=True)] == [
        "does anybody know?",
        f"<@{BOT}> what?".split(maxsplit=1)[1],
        "thanks!",
    ]


def test_answers_that_crossed_find_their_questions() -> None:
    one, two = Turn("one", "answered", "ONE"), Turn("two", "answered", "TWO")
    thread = [
        asked("one", "100.1"),
        asked("two", "101.1"),
        *posted(two, "101.1", "102.1"),
        *posted(one, "100.1", "103.1"),
    ]
    assert [(turn.question, turn.answer) for turn in read_thread(thread, BOT, "110.1", is_direct=True)] == [
        ("one", "ONE"),
        ("two", "TWO"),
    ]


def test_placeholders_problems_other_bots_and_later_questions_are_not_turns() -> None:
    thread = [
        asked("failed?", "100.1"),
        *posted(Turn("failed?", "failed", "", problem="No."), "100.1", "101.1"),
        asked("beep", "102.1", user="U7", bot_id="B7"),
        {**posted(ANSWERED, "102.1", "103.1")[0], "user": "U7"},
        asked("now?", "110.1"),
        *posted(Turn("now?"), "110.1", "111.1"),
        asked("later?", "112.1"),
    ]
    assert read_thread(thread, BOT, "110.1", is_direct=True) == (Turn("failed?", "answered", ""),)


def test_of_a_long_thread_the_last_turns_are_read() -> None:
    thread = [asked(f"{number}", f"{100 + number}.1") for number in range(30)]
    assert [turn.question for turn in read_thread(thread, BOT, "999.1", is_direct=True)] == [
        str(number) for number in range(20, 30)
    ]


def test_blocks_of_other_forms_are_not_read_as_answers() -> None:
    strange = {
        "user": BOT,
        "ts": "101.1",
        "blocks": [{"type": "rich_text"}, {"type": "section", "block_id": "answer/100.1/x/1"}],
    }
    assert read_thread(
        [asked("how?", "100.1"), strange, {"user": BOT, "ts": "102.1"}], BOT, "110.1", is_direct=True
    ) == (Turn("how?", "answered"),)
