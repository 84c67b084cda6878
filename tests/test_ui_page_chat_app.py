"""What the chat page holds after each click, run by Streamlit's own test harness over a gateway on a real socket."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from streamlit.testing.v1 import AppTest

from tests.fake_gateway import HITS, NOTHING_FOUND, FakeGateway, Refusal, Script, judged, quote, supported
from tests.rows import for_each
from ui.conversation import DEMO_WORD, Turn, begin
from ui.escaping import literal
from ui.events import read_source
from ui.page.chat_app import EXAMPLES, LONG_CHARS, LONG_LINES, MOST_DRAWN, SLOW_AFTER_S, is_long, waiting_note
from ui.pasted import MAX_BYTES

APP = Path(__file__).parent.parent / "ui" / "page" / "chat_app.py"


@pytest.fixture
def gateway(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeGateway]:
    with FakeGateway() as fake:
        monkeypatch.setenv("CHIPALIGN_URL", fake.url)
        yield fake


def open_page() -> AppTest:
    return AppTest.from_file(str(APP), default_timeout=20).run()


def type_question(app: AppTest, question: str) -> AppTest:
    return app.chat_input[0].set_value(question).run()


def press_thumb(app: AppTest, thumb: int) -> AppTest:
    thumbs: Any = app.get("feedback")[0]
    return cast(AppTest, thumbs.set_value(thumb).run())


def texts(app: AppTest) -> str:
    """Everything that the page shows as Markdown, captions and errors included."""
    return "\n".join(element.value for kind in (app.markdown, app.caption, app.error, app.warning) for element in kind)


def labels(app: AppTest) -> list[str]:
    return [button.label for button in app.button]


def test_empty_page_says_what_it_is_and_offers_examples(gateway: FakeGateway) -> None:
    app = open_page()
    assert app.title[0].value == "ChipAlign"
    assert "passages it stands on" in app.caption[0].value
    assert ":green[●] Ready" in texts(app)
    assert labels(app) == list(EXAMPLES)
    assert gateway.requests == []


def test_example_is_asked_with_one_click(gateway: FakeGateway) -> None:
    app = open_page().button(key="example-0").click().run()
    assert gateway.requests[0]["messages"] == [{"role": "user", "content": EXAMPLES[0]}]
    assert "Run `repair_antennas` after global routing" in texts(app)


def test_answer_stands_above_its_sources(gateway: FakeGateway) -> None:
    gateway.script = Script(query="How do I repair antennas?")
    app = type_question(open_page(), "How do I repair antennas?")
    assert [message.name for message in app.chat_message] == ["user", "assistant"]
    assert f"after global routing [\\[1\\]]({HITS[0]['url']})." in texts(app)
    cited, others = app.expander
    assert (cited.label, others.label) == (
        "**1** · Global Routing › Commands › Repair Antennas",
        "Other passages found (2)",
    )
    assert (cited.proto.expanded, others.proto.expanded) == (True, False)
    assert "The repair\\_antennas command checks" in cited.markdown[1].value
    titles = [markdown.value for markdown in others.markdown if markdown.value.startswith("**")]
    assert titles == ["**2 · Antenna effects › Fixing violations**", "**3 · Glossary**"]


def test_what_an_answer_quotes_is_marked_in_its_passage(gateway: FakeGateway) -> None:
    words, fence = "A violation is fixed by a **jumper**", "```tcl\nrepair_antennas\n```"
    code = {**HITS[0], "text": f"So:\n\n{fence}\n\nThen check.", "version": "2.0", "page": 7}
    gateway.script = Script(hits=(code, HITS[1]), cited=(1, 2), quotes=(quote(code, fence), quote(HITS[1], words)))
    first, second = type_question(open_page(), "q").expander
    assert first.label == "**1** · Global Routing › Commands › Repair Antennas, page 7, version 2.0"
    assert [markdown.value for markdown in first.markdown] == ["So\\:", fence, "Then check."]
    assert second.markdown[0].value.startswith(f":yellow-background[{words}] to a higher layer")
    assert f"{HITS[1]['url']}?quote=0-{len(words)}#quote" in second.caption[0].value


@pytest.mark.parametrize("mode", ["model", "auto"])
def test_what_supports_a_models_words_is_marked_in_its_passage(gateway: FakeGateway, mode: str) -> None:
    words, answer = "A violation is fixed by a **jumper**", "A jumper fixes it [2]."
    found = supported(answer, quote(HITS[1], words), mode=mode)
    gateway.script = Script(deltas=(answer,), cited=(2,), verification=found)
    cited, _ = type_question(open_page(), "q").expander
    assert cited.markdown[0].value.startswith(f":yellow-background[{words}] to a higher layer")
    assert f"{HITS[1]['url']}?quote=0-{len(words)}#quote" in cited.caption[0].value


def test_sentence_that_no_passage_supports_is_marked_and_explained(gateway: FakeGateway) -> None:
    answer = "Run it [1]. It fixes all of it."
    code = {
        "start": 0,
        "end": 3,
        "language": "tcl",
        "verdict": "faulty",
        "diagnostics": [{"line": 3, "message": "no close-brace"}],
    }
    gateway.script = Script(
        deltas=(answer,),
        verification=judged(answer, "It fixes all of it.", unknown_names=["-all"], code=[code], dropped=2),
    )
    shown = texts(type_question(open_page(), "q"))
    assert ":red-background[It fixes all of it.]" in shown
    for line in (
        "2 sentences were left out: the passages do not support them.",
        "The passages do not support 1 sentence (marked).",
        "In none of the passages: -all.",
        "Code: parsed as Tcl: 1 error, line 3: no close-brace",
        DEMO_WORD,
    ):
        assert literal(line) in shown


def test_answer_in_quotes_has_no_word_about_the_model(gateway: FakeGateway) -> None:
    gateway.script = Script(quotes=(quote(HITS[0], "diode cells"),))
    assert "demo model" not in texts(type_question(open_page(), "q"))


def test_choice_of_who_words_the_answer_is_sent_and_survives_a_reload(gateway: FakeGateway) -> None:
    app = type_question(open_page(), "first")
    app.radio(key="answer_by").set_value("quote").run()
    type_question(app, "second")
    again = reload(app)
    assert again.radio(key="answer_by").value == "quote"
    type_question(again, "third")
    assert [request.get("retrieval") for request in gateway.requests] == [
        None,
        {"answer": "quote"},
        {"answer": "quote"},
    ]
    assert open_page().radio(key="answer_by").value == "auto"


def test_thumbs_rate_an_answer_once_and_a_reload_remembers_them(gateway: FakeGateway) -> None:
    app = type_question(open_page(), "How do I repair antennas?")
    app = press_thumb(app, 0)
    answer = "Run `repair_antennas` after global routing [1]."
    said = {"answer_id": "chatcmpl-1", "question": "How do I repair antennas?", "answer": answer}
    assert gateway.ratings == [{**said, "rating": "down"}]
    assert "Noted, thank you." in texts(app)
    app.text_input[0].set_value("another command").run()
    assert gateway.ratings[1:] == [{**said, "rating": "down", "reason": "another command"}]
    again = AppTest.from_file(str(APP), default_timeout=20)
    again.query_params["conversation"] = app.query_params["conversation"]
    assert "Noted, thank you." in texts(again.run())
    assert len(gateway.ratings) == 2
    gateway.script = Script(rating_refusal=Refusal(503, "store_unavailable", "The store does not answer."))
    refused = press_thumb(again, 1)
    assert "Not noted: " in texts(refused)


def test_only_web_addresses_become_links(gateway: FakeGateway) -> None:
    app = type_question(open_page(), "q")
    assert f"[Open the page]({HITS[0]['url']})" in texts(app)
    assert "javascript:" not in texts(app)


def test_nothing_on_the_page_is_rendered_as_html(gateway: FakeGateway) -> None:
    gateway.script = Script(deltas=("<script>alert(1)</script>",))
    app = type_question(open_page(), "<b>q</b>")
    assert not any(element.allow_html for element in (*app.markdown, *app.caption))


def test_follow_up_is_asked_with_the_conversation(gateway: FakeGateway) -> None:
    app = type_question(open_page(), "How do I repair antennas?")
    app = type_question(app, "And for hold?")
    assert [message["role"] for message in gateway.requests[1]["messages"]] == ["user", "assistant", "user"]
    assert [message.name for message in app.chat_message] == ["user", "assistant", "user", "assistant"]
    assert [expander.label for expander in app.expander[1::2]] == ["Other passages found (2)"] * 2


def test_nothing_is_asked_again_when_the_page_is_redrawn(gateway: FakeGateway) -> None:
    type_question(open_page(), "q").run()
    assert len(gateway.requests) == 1


def test_new_conversation_forgets_the_old_one(gateway: FakeGateway) -> None:
    app = type_question(open_page(), "q").button(key="new").click().run()
    assert labels(app) == list(EXAMPLES)
    type_question(app, "r")
    assert gateway.requests[1]["messages"] == [{"role": "user", "content": "r"}]


def reload(app: AppTest) -> AppTest:
    """A new tab at the address of the old one."""
    again = AppTest.from_file(str(APP), default_timeout=20)
    again.query_params = dict(app.query_params)
    return again.run()


def test_reload_finds_the_conversation_by_the_address(gateway: FakeGateway) -> None:
    app = type_question(open_page(), "How do I repair antennas?")
    assert list(app.query_params) == ["conversation"]
    again = reload(app)
    assert "Run `repair_antennas` after global routing" in texts(again)
    assert again.expander[1].label == "Other passages found (2)"
    assert len(gateway.requests) == 1  # shown, not asked again
    type_question(again, "And for hold?")
    assert [message["role"] for message in gateway.requests[1]["messages"]] == ["user", "assistant", "user"]
    assert "And for hold" in texts(reload(again))


def test_page_without_a_question_has_a_plain_address_and_shows_nothing_of_others(gateway: FakeGateway) -> None:
    type_question(open_page(), "a secret question")
    other = open_page()
    assert not other.query_params
    assert "secret" not in texts(other)


def test_unknown_conversation_in_the_address_is_dropped_and_never_taken_over(gateway: FakeGateway) -> None:
    app = AppTest.from_file(str(APP), default_timeout=20)
    app.query_params["conversation"] = "chosen-by-someone"
    app.run()
    assert labels(app) == list(EXAMPLES)
    assert not app.query_params
    app.query_params["conversation"] = "chosen-by-someone"
    type_question(app, "q")
    assert app.query_params["conversation"] not in ("", "chosen-by-someone", ["chosen-by-someone"])


def test_new_conversation_is_forgotten_by_the_server_too(gateway: FakeGateway) -> None:
    app = type_question(open_page(), "q")
    old = dict(app.query_params)
    app.button(key="new").click().run()
    assert not app.query_params
    app.query_params = old
    assert labels(reload(app)) == list(EXAMPLES)


def test_new_conversation_in_one_tab_leaves_the_other_tab_its_own(gateway: FakeGateway) -> None:
    app = type_question(open_page(), "first")
    twin = reload(app)
    app.button(key="new").click().run()
    twin = type_question(twin, "second")
    assert twin.query_params != app.query_params
    assert "first" in texts(twin)
    assert "second" in texts(reload(twin))


def test_failed_question_can_be_retried_after_a_reload(gateway: FakeGateway) -> None:
    gateway.script = Script(error_after=2)
    app = reload(type_question(open_page(), "q"))
    assert "broke off before its end" in app.error[0].value
    gateway.script = Script()
    app = app.button(key="retry").click().run()
    assert not app.error
    assert "after global routing" in texts(app)


@for_each(
    ("question", "long"),
    [
        ("How do I repair antennas?", False),
        ("x" * LONG_CHARS, False),
        ("x" * (LONG_CHARS + 1), True),
        ("a\n" * LONG_LINES, True),
        ("\n".join("a" * LONG_LINES), False),
    ],
)
def test_long_question_is_one_that_would_hide_its_answer(question: str, long: bool) -> None:
    assert is_long(question) is long


def attach(app: AppTest, question: str, name: str, content: bytes) -> AppTest:
    return app.chat_input[0].set_value(question).upload(name, content).run()


def test_an_attached_log_goes_with_the_question(gateway: FakeGateway) -> None:
    app = attach(open_page(), "why?", "run.log", b"\x1b[31m[ERROR GRT-0118] congestion\x1b[0m\r\n")
    assert gateway.requests[0]["messages"] == [{"role": "user", "content": "why?\n\n[ERROR GRT-0118] congestion"}]
    assert not app.warning


def test_an_attached_log_is_a_question_by_itself(gateway: FakeGateway) -> None:
    app = open_page()
    app.chat_input[0].upload("run.log", b"[ERROR GRT-0118] congestion")
    app.run()
    assert gateway.requests[0]["messages"] == [{"role": "user", "content": "[ERROR GRT-0118] congestion"}]


@for_each(
    ("name", "content", "sentence"),
    [
        ("a_*b*.log", b"x" * (MAX_BYTES + 1), "a_*b*.log holds more than 1 MB, so nothing was asked: attach the part"),
        ("top.gds", b"\0\x06\0\x02\x02\x58", "top.gds holds no text, so nothing was asked: give a log"),
    ],
)
def test_a_file_of_no_use_is_said_and_what_was_typed_returns(name: str, content: bytes, sentence: str) -> None:
    with FakeGateway() as gateway, pytest.MonkeyPatch.context() as patch:
        patch.setenv("CHIPALIGN_URL", gateway.url)
        app = attach(open_page(), "why does this fail?", name, content)
        assert literal(sentence) in app.warning[0].value
        assert app.chat_input[0].proto.value == "why does this fail?"
        assert not gateway.requests
        assert not app.run().warning


def test_a_question_after_a_long_log_leans_on_what_was_searched_for(gateway: FakeGateway) -> None:
    gateway.script = Script(query="why? [ERROR GRT-0118] congestion")
    app = attach(open_page(), "why?", "run.log", b"[INFO GRT-0001] Routed a net.\n" * 20_000)
    shown = app.chat_message[0].markdown[0].value
    assert len(shown) < 2 * MOST_DRAWN
    assert "lines not shown" in shown

    type_question(app, "and how do I fix it?")
    asked = [message["content"] for message in gateway.requests[-1]["messages"] if message["role"] == "user"]
    assert asked == ["why? [ERROR GRT-0118] congestion", "and how do I fix it?"]


def test_empty_question_is_answered_by_a_sentence(gateway: FakeGateway) -> None:
    app = type_question(open_page(), "   ")
    assert app.warning[0].value == "The question is empty: type what you want to know."
    assert gateway.requests == []
    assert not app.run().warning


def test_gateway_down_is_reported_and_retry_asks_again(gateway: FakeGateway) -> None:
    app = type_question(open_page(), "first")
    gateway.stop()
    app = type_question(app, "second")
    assert "cannot be reached" in app.error[0].value
    assert ":red[●]" in texts(app)
    assert "Run `repair_antennas`" in texts(app)  # the conversation is kept
    gateway.start()
    app = app.button(key="retry").click().run()
    assert not app.error
    assert "Retry" not in labels(app)
    assert [request["messages"][-1]["content"] for request in gateway.requests] == ["first", "second"]


def test_answer_that_breaks_off_keeps_its_text_and_its_sources(gateway: FakeGateway) -> None:
    gateway.script = Script(error_after=2)
    app = type_question(open_page(), "q")
    assert "Run `repair_antennas`" in texts(app)
    assert "broke off before its end" in app.error[0].value
    assert app.expander[0].label == "Passages found (3)"


@pytest.mark.parametrize(
    ("refusal", "sentence"),
    [
        (Refusal(503, "engine_unavailable", "loading", {"Retry-After": "5"}), "Try again in 5 s"),
        (Refusal(400, "context_length_exceeded", "9000 tokens"), "longer than the model can read"),
    ],
)
def test_refusal_is_reported_in_a_sentence(gateway: FakeGateway, refusal: Refusal, sentence: str) -> None:
    gateway.script = Script(refusal=refusal)
    assert sentence in type_question(open_page(), "q").error[0].value


def test_question_after_one_that_was_too_long_is_asked_without_it(gateway: FakeGateway) -> None:
    gateway.script = Script(refusal=Refusal(400, "context_length_exceeded", "9000 tokens"))
    app = type_question(open_page(), "long " * 2000)
    gateway.script = Script()
    type_question(app, "short")
    assert gateway.requests[1]["messages"] == [{"role": "user", "content": "short"}]


def test_nothing_found_is_said(gateway: FakeGateway) -> None:
    gateway.script = Script(deltas=(NOTHING_FOUND,), hits=(), cited=())
    app = type_question(open_page(), "q")
    assert "No passage in the indexed documents matches" in texts(app)
    assert not app.expander


def test_refusal_is_said_once(gateway: FakeGateway) -> None:
    gateway.script = Script(deltas=(NOTHING_FOUND,), hits=(), cited=(), refused=True)
    app = type_question(open_page(), "q")
    assert "No passage in the indexed documents matches" not in texts(app)


def test_licence_that_is_not_stated_is_not_shown(gateway: FakeGateway) -> None:
    gateway.script = Script(hits=({**HITS[0], "licence": "not stated"},), cited=(1,))
    app = type_question(open_page(), "q")
    assert "not stated" not in texts(app)


def test_greeting_does_not_say_that_no_passage_matches(gateway: FakeGateway) -> None:
    gateway.script = Script(deltas=("Hello.",), hits=(), cited=(), query="")
    assert "No passage" not in texts(type_question(open_page(), "hello"))


def test_what_was_searched_is_shown_where_it_is_not_the_question_itself(gateway: FakeGateway) -> None:
    gateway.script = Script(query="antenna repair and hold")
    assert "Searched for: antenna repair and hold" in texts(type_question(open_page(), "and hold?"))
    assert "Searched for" not in texts(type_question(open_page(), "antenna repair and hold"))


def test_answer_cut_at_its_limit_is_said(gateway: FakeGateway) -> None:
    gateway.script = Script(finish_reason="length")
    assert "CHIPALIGN\\_MAX\\_TOKENS" in texts(type_question(open_page(), "q"))


def test_engine_that_is_starting_is_shown_in_the_status_line(gateway: FakeGateway) -> None:
    gateway.script = Script(ready=(503, {"status": "starting", "engine": "starting", "index": "ready"}))
    assert ":orange[●] Not ready yet: starting" in texts(open_page())


def test_wrong_setting_is_shown_instead_of_a_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHIPALIGN_URL", "nowhere")
    app = open_page()
    assert app.error[0].value.startswith("CHIPALIGN\\_URL is 'nowhere'")
    assert not app.chat_input


def test_waiting_note_counts_the_seconds_and_says_when_it_is_slow() -> None:
    asked = begin(Turn("q"))
    found = Turn("q", "answering", sources=(read_source(HITS[0]),), query="q")
    assert waiting_note(asked, 0.2) == "Searching the documents…"
    assert waiting_note(found, 3.2) == "Found 1 passage, reading it (3 s)…"
    assert waiting_note(Turn("hello", "answering", query=""), 1.0) == "Writing (1 s)…"
    assert "slow or busy" in waiting_note(asked, SLOW_AFTER_S)
