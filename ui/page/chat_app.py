"""The chat page (Streamlit): type a question, watch the answer come, and read below it the passages that it stands on.

It only draws: asking is `ui.client`'s, the conversation `ui.conversation`'s, and prompts and retrieval live in the
gateway. What documents and models say is never rendered as HTML.

    chipalign page        # ui.page.page_server runs this file, behind ui.page.page_guard
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from contextlib import closing
from typing import Literal

import streamlit as st
from streamlit.runtime.uploaded_file_manager import UploadedFile

from ui.client import LONGEST_WORDS, Gateway
from ui.conversation import (
    Conversation,
    Turn,
    add_question,
    begin,
    close_interrupted,
    describe_answer,
    fail,
    rate,
    retry,
    take_event,
    to_messages,
    with_last,
)
from ui.errors import AttachedTooLong, EmptyQuestion, GatewayError, PastedNotText, SettingsError
from ui.escaping import link, literal
from ui.events import HEADING_SEPARATOR, AnswerBy, Rating, Source, Wanted
from ui.heartbeat import with_heartbeat
from ui.page.rendering import answer_markdown, passage_blocks
from ui.page.store import ConversationStore
from ui.page.transcript import to_markdown
from ui.pasted import join_question, read_attached
from ui.settings import UiSettings

TAGLINE = "Ask about chip design. Every answer comes from your own documents and shows the passages it stands on."
EXAMPLES = (
    "Which command inserts antenna diodes, and when do I run it?",
    "When is set_multicycle_path right, and when set_false_path?",
    "How do I fix hold violations without hurting setup?",
    "Which variables set core utilization and placement density?",
)
ANSWER_BY: dict[AnswerBy, tuple[str, str]] = {  # what can be chosen: its name, and what it means
    "auto": (
        "Automatic",
        "Quotes; above them the model's words, if it is strong enough, as far as the passages support them.",
    ),
    "quote": ("Quotes", "The documents' own words, each with its place."),
    "model": ("The model's words", "Worded by the model from the passages; what they do not support is marked."),
}
THUMBS: tuple[Rating, Rating] = ("down", "up")  # as st.feedback counts them
NOT_STATED = "not stated"  # what the gateway says of the licence of most documents of one's own
MARKS = {"ready": ":green[●]", "starting": ":orange[●]", "degraded": ":orange[●]", "down": ":red[●]"}
STATUS_EVERY_S = 5.0
HEARTBEAT_S = 0.2  # how fast Stop acts while nothing comes
DRAW_EVERY_S = 0.06  # faster than an eye, slower than a GPU: each drawing sends the whole answer so far
DRAW_SHARE = 5  # a drawing is followed by a pause of at least so many times its own time: a long answer is drawn rarely
SLOW_AFTER_S = 15.0  # from here on the page says that the engine is slow
CURSOR = " ▌"
ADDRESS_KEY = "conversation"  # the address of the page names the conversation, so that a reload finds it again
LONG_LINES, LONG_CHARS = 12, 900  # a question of more, such as a pasted log, scrolls in a box of its own
LONG_QUESTION_PX = 240  # about ten lines
MOST_DRAWN = 12_000  # characters of a question, half of them at its end

# Streamlit has no setting for these. Constants of ours only: nothing that comes from outside is ever put in here.
STYLE = """<style>
.stMainBlockContainer { padding-top: 3.5rem; }
.stMainBlockContainer h1 { font-size: 2rem; letter-spacing: -0.02em; padding-bottom: 0; }
.stMainBlockContainer, [data-testid="stBottomBlockContainer"] {
  max-width: 48rem; padding-left: 1rem; padding-right: 1rem; }
[data-testid="stBottomBlockContainer"] { padding-bottom: 1.5rem; }
/* Its Stop would leave the answer without a way to go on; ours does not. */
[data-testid="stStatusWidget"] { display: none; }
.st-key-examples button > div { justify-content: flex-start; text-align: left; }
/* A new question comes to the top of the window, below Streamlit's own bar, and so does the last one of a conversation
   that is opened again: for a second all scrolling ends there. Then the answer grows below it, and the reader scrolls.
*/
.stMain { scroll-snap-type: y mandatory; scroll-padding-top: 4rem; }
.st-key-last { min-height: calc(100dvh - 11rem); } /* a window's height, so that it can come to the top */
.st-key-last:has(.st-key-answering, .st-key-found) { animation: hold 1s; }
@keyframes hold { from, to { scroll-snap-align: start; } }
/* Stop stays in sight, above the place to type. */
div:has(> .st-key-actions-answering) { position: sticky; bottom: 7rem; }
.stExpander pre code { font-size: 0.8rem; }
.stExpander h5, .stExpander h6 { font-size: 1rem; padding: 0.5rem 0 0; }
/* A line does not end behind the dash of an option; a name longer than a line is still broken. */
.stMarkdown :not(pre) > code { display: inline-block; max-width: 100%; overflow-wrap: anywhere; }
.stExpander table { font-size: 0.875rem; }
/* Marks in an answer are what no passage supports. */
.stMarkdownColoredBackground {
  background-color: light-dark(#fee2e2, #5b1a1a) !important; text-decoration: underline wavy #dc2626 1px; }
.stMarkdownColoredBackground code { background: none; }
/* Marks in a passage are quotes: in a marker's yellow, and without a gap between two of them. */
[class*="st-key-passages-"] .stMarkdownColoredBackground {
  background-color: light-dark(#fef08a, #713f12) !important; padding: 0.1em 0 !important; text-decoration: none; }
/* A quote that is code has no colour behind its letters: a bar beside it says so. */
[class*="st-key-quoted-"] { border-left: 3px solid #eab308; padding-left: 0.75rem; }
/* What documents say is the answer: it is not to be paler than what stands around it. */
.stMarkdown blockquote { opacity: 1; }
.stExpander div:has(> [class*="st-key-source-"]) + div > [class*="st-key-source-"] {
  border-top: 1px solid rgba(128, 128, 128, 0.25); padding-top: 1rem; }
</style>"""
ICON = (  # a chip, as the browser tab's picture
    '<svg viewBox="0 0 24 24" fill="none" stroke="#0f766e" stroke-width="2" stroke-linecap="round">'
    '<rect x="6" y="6" width="12" height="12" rx="2"/><rect x="10" y="10" width="4" height="4" fill="#0f766e"/>'
    '<path d="M9 2v4M15 2v4M9 18v4M15 18v4M2 9h4M2 15h4M18 9h4M18 15h4"/></svg>'
)


def main() -> None:
    """Draw the page once, as Streamlit does after each click; an unforeseen error ends as a sentence, and in a log."""
    st.set_page_config(
        page_title="ChipAlign", page_icon=ICON, layout="centered", menu_items={"About": f"**ChipAlign**. {TAGLINE}"}
    )
    st.html(STYLE)
    try:
        draw_page(open_gateway(UiSettings.from_env()))
    except SettingsError as error:
        st.error(literal(str(error)))
    except Exception:
        logging.getLogger(__name__).exception("the page failed")
        st.error("Something went wrong in this page itself. Ask again; if it happens again, tell your CAD team.")


@st.cache_resource(show_spinner=False)
def open_gateway(settings: UiSettings) -> Gateway:
    """One client for all readers of the page: it holds connections, and nothing of a reader."""
    return Gateway(settings)


@st.cache_resource(show_spinner=False)
def open_store() -> ConversationStore:
    """What all readers of this process have asked, each findable only by who has its id."""
    return ConversationStore()


def draw_page(gateway: Gateway) -> None:
    """Draw title, status, conversation, the answer that is due, and the place to type."""
    st.title("ChipAlign", anchor=False)
    st.caption(TAGLINE)
    draw_status(gateway)
    if typed_again := st.session_state.pop("typed_again", ""):
        st.session_state["question"] = typed_again
    notice = st.bottom.empty()  # beside what was typed, and in sight
    # In st.bottom: where Streamlit puts it there by itself, it keeps the page to its end, away from an answer's top.
    typed = st.bottom.chat_input("Ask a chip-design question", key="question", accept_file=True)

    remember(close_interrupted(conversation()))
    draw_choice()
    if typed is not None:
        ask_typed(typed.text, typed.files)
    if problem := st.session_state.pop("question_problem", ""):
        notice.warning(literal(problem))

    turns = conversation()
    if not turns:
        draw_examples()
        return

    for index, turn in enumerate(turns[:-1]):
        draw_turn(gateway, turn, index)
    with st.container(key="last"):
        if turns[-1].state == "asked":
            answer_last_turn(gateway, turns)
            st.rerun()  # one way to draw a finished turn: the one below
        draw_turn(gateway, turns[-1], len(turns) - 1)
        draw_actions(turns)
        if st.session_state["was_found"]:
            st.container(key="found").html("<i></i>")  # nothing to see: STYLE looks for it


def conversation() -> Conversation:
    """This reader's conversation; in a tab that was opened or reloaded just now, the one that its address names."""
    if "conversation" not in st.session_state:
        wanted = st.query_params.get(ADDRESS_KEY, "")
        found = open_store().find(wanted)
        st.session_state["conversation"] = found or ()
        st.session_state["conversation_id"] = wanted if found else ""
        st.session_state["answer_by"] = found[-1].answer_by if found else "auto"
        st.session_state["was_found"] = bool(found)
    turns: Conversation = st.session_state["conversation"]
    return turns


def remember(turns: Conversation) -> None:
    """Keep `turns` for the next drawing, and in the store under the id in the address; where there are none, forget."""
    st.session_state["conversation"] = turns
    known: str = st.session_state.get("conversation_id", "")
    if turns:
        st.session_state["conversation_id"] = open_store().keep(known, turns)
    elif known:
        open_store().forget(known)
        st.session_state["conversation_id"] = ""
    name_in_address(st.session_state.get("conversation_id", ""))


def name_in_address(conversation_id: str) -> None:
    """Let the address of the page name this conversation; "" lets it name none."""
    if conversation_id and st.query_params.get(ADDRESS_KEY) != conversation_id:
        st.query_params[ADDRESS_KEY] = conversation_id
    elif not conversation_id and ADDRESS_KEY in st.query_params:
        del st.query_params[ADDRESS_KEY]


def ask_typed(text: str, files: Sequence[UploadedFile]) -> None:
    """Ask what was typed, with the file that was attached below it; where that is of no use, the typed text returns."""
    try:
        ask_question(join_question(text, *(read_attached(file.name, file.getvalue()) for file in files)))
    except (AttachedTooLong, PastedNotText) as error:
        st.session_state["question_problem"] = str(error)
        st.session_state["typed_again"] = text
        st.rerun()


def ask_question(question: str) -> None:
    """Put a question at the conversation's end; an empty one is answered by a sentence."""
    try:
        remember(add_question(close_interrupted(conversation()), question, st.session_state["answer_by"]))
    except EmptyQuestion as error:
        st.session_state["question_problem"] = str(error)


@st.fragment(run_every=STATUS_EVERY_S)
def draw_status(gateway: Gateway) -> None:
    """One line that says whether an answer can be had; redrawn by itself every few seconds."""
    status = gateway.status()
    with st.container(key="status"):
        st.caption(f"{MARKS[status.state]} {literal(status.sentence)}")


def draw_choice() -> None:
    """Who shall word the answers; each question remembers what was chosen, and so does a reload."""
    with st.sidebar:
        st.radio(
            "Answers",
            tuple(ANSWER_BY),
            key="answer_by",
            format_func=lambda choice: ANSWER_BY[choice][0],
            captions=[meaning for _, meaning in ANSWER_BY.values()],
        )


def draw_examples() -> None:
    """What could be asked, for someone who sees the page for the first time."""
    st.space("small")
    with st.container(key="examples", gap="xsmall"):
        st.markdown("**Try one of these**")
        for index, example in enumerate(EXAMPLES):
            st.button(example, key=f"example-{index}", on_click=ask_question, args=(example,), width="stretch")


def draw_turn(gateway: Gateway, turn: Turn, index: int) -> None:
    """A question, its answer as far as it came, its passages, and the thumbs to rate it by."""
    draw_question(turn)
    with st.chat_message("assistant", avatar=":material/memory:"), st.container(key=f"answer-{index}"):
        draw_answer(turn)
        if turn.sources:
            with st.container(key=f"passages-{index}", gap="xsmall"):
                draw_sources(turn, index)
        if turn.state == "answered" and turn.answer_id:
            draw_rating(gateway, turn, index)


def draw_rating(gateway: Gateway, turn: Turn, index: int) -> None:
    """Thumbs; below a thumb that points down, room to say why."""
    thumbs, reason = (f"{what}-{index}-{turn.answer_id}" for what in ("thumbs", "reason"))
    default = None if turn.rating is None else THUMBS.index(turn.rating)
    st.feedback("thumbs", key=thumbs, default=default, on_change=give_rating, args=(gateway, index, thumbs, reason))
    if turn.rating == "down":
        st.text_input(
            "What is wrong with it?",
            key=reason,
            max_chars=LONGEST_WORDS["reason"],
            on_change=give_rating,
            args=(gateway, index, thumbs, reason),
        )
    if problem := st.session_state.pop("rating_problem", {}).get(turn.answer_id):
        st.caption(literal(problem))
    elif turn.rating:
        st.caption("Noted, thank you.")


def give_rating(gateway: Gateway, index: int, thumbs: str, reason: str) -> None:
    """Send what a reader said of an answer to the gateway, and remember it; a thumb that is taken back stays given."""
    turns, chosen = conversation(), st.session_state[thumbs]
    if chosen is None or index >= len(turns):
        return
    turn, rating = turns[index], THUMBS[chosen]
    why = st.session_state.get(reason, "") if rating == "down" else ""
    try:
        gateway.rate(turn.answer_id, rating, reason=why, question=turn.question, answer=turn.answer)
        remember(rate(turns, index, rating))
    except GatewayError as error:
        st.session_state["rating_problem"] = {turn.answer_id: f"Not noted: {error}"}


def draw_answer(turn: Turn) -> None:
    """The answer, unsupported parts marked, and in small print what a reader should know of it."""
    if turn.answer:
        st.markdown(answer_markdown(turn.answer, turn.sources, turn.unsupported))
    if notes := notes_on(turn):
        st.caption("  \n".join(map(literal, notes)))
    if turn.problem:
        st.error(literal(turn.problem))


def notes_on(turn: Turn) -> list[str]:
    """What a reader should know of an answer, a line each: checks, who worded it, how it ended, what was searched."""
    notes = describe_answer(turn)
    if turn.state == "stopped":
        notes.append("Stopped before its end.")
    if turn.finish_reason == "length":
        notes.append("Cut at the longest answer allowed. Ask for the rest, or raise CHIPALIGN_MAX_TOKENS.")
    if turn.query and turn.query != turn.question:
        notes.append(f"Searched for: {turn.query}")  # a follow-up is searched with its conversation
    if turn.state == "answered" and turn.query and not turn.sources and not turn.is_refused:
        notes.append("No passage in the indexed documents matches this question.")
    return notes


def draw_question(turn: Turn) -> None:
    """What the reader asked, letter by letter; a long text scrolls in a box, so that its answer can be seen."""
    height: int | Literal["content"] = LONG_QUESTION_PX if is_long(turn.question) else "content"
    with st.chat_message("user", avatar=":material/person:"), st.container(height=height, border=False):
        st.markdown(literal(cut_middle(turn.question)))


def cut_middle(question: str) -> str:
    """A question as it is drawn: a browser is slow with a log of ten thousand lines, and nobody reads them there."""
    if len(question) <= MOST_DRAWN:
        return question
    half = MOST_DRAWN // 2
    hidden = question[half:-half].count("\n")
    return f"{question[:half]}\n\n[... {hidden:,} lines not shown ...]\n\n{question[-half:]}"


def is_long(question: str) -> bool:
    """Whether a question would push its own answer out of sight."""
    return question.count("\n") >= LONG_LINES or len(question) > LONG_CHARS


def draw_sources(turn: Turn, index: int) -> None:
    """The passages: those that the answer stands on each by itself, the first one open; the others together, folded."""
    cited = [source for source in turn.sources if source.number in turn.cited]
    for source in cited:
        name, key = f"**{source.number}** · {literal(source.place)}", f"{index}-{source.number}"
        with st.expander(name, expanded=source is cited[0], key=f"source-{key}"):
            draw_passage(source, key)

    if others := [source for source in turn.sources if source not in cited]:
        name = "Other passages found" if cited else "Passages found"
        with st.expander(f"{name} ({len(others)})", key=f"sources-{index}"):
            for source in others:
                with st.container(key=f"source-{index}-{source.number}", gap="xsmall"):
                    st.markdown(f"**{source.number} · {literal(source.place)}**")
                    draw_passage(source, f"{index}-{source.number}")


def draw_passage(source: Source, key: str) -> None:
    """A passage's text, what the answer quotes of it marked, then where it is from."""
    for number, block in enumerate(passage_blocks(source.text, source.quoted)):
        with st.container(key=f"quoted-{key}-{number}") if block.is_quoted_code else st.container():
            st.markdown(block.markdown)
    where = HEADING_SEPARATOR.join(part for part in (source.collection, source.path) if part)
    licence = "" if source.licence == NOT_STATED else source.licence
    details = " · ".join(literal(part) for part in (where, licence) if part)
    st.caption(f"{link('Open the page', source.quote_link)} · {details}" if source.link else details)


def draw_actions(turns: Conversation) -> None:
    """What a reader can do when no answer is under way."""
    with st.container(key="actions", horizontal=True, horizontal_alignment="right"):
        if turns[-1].state in ("failed", "stopped"):
            st.button(
                "Retry",
                key="retry",
                type="primary",
                icon=":material/refresh:",
                on_click=lambda: remember(retry(conversation())),
            )
        st.button("New conversation", key="new", icon=":material/add:", on_click=lambda: remember(()))
        name, kind = "chipalign-conversation.md", "text/markdown"
        st.download_button(
            "Download",
            lambda: to_markdown(turns),
            name,
            kind,
            key="download",
            icon=":material/download:",
            on_click="ignore",
        )


def answer_last_turn(gateway: Gateway, turns: Conversation) -> None:
    """Stream the answer to the last turn into the page; what came is remembered at once: Stop and a failure keep it."""
    turn = begin(turns[-1])
    messages = to_messages(turns)
    remember(with_last(turns, turn))
    st.session_state["was_found"] = False

    draw_question(turn)
    with st.chat_message("assistant", avatar=":material/memory:"), st.container(key="answering"):
        text, note = st.empty(), st.empty()
    with st.container(key="actions-answering", horizontal=True, horizontal_alignment="right"):
        # Any click ends this run, and the next one finds the turn interrupted.
        st.button("Stop", key="stop", icon=":material/stop:")

    started_s = next_drawing_s = time.monotonic()
    try:
        with closing(with_heartbeat(gateway.ask(messages, Wanted(turn.answer_by)), HEARTBEAT_S)) as events:
            for event in events:
                if event is not None:
                    turn = take_event(turn, event)
                    remember(with_last(turns, turn))
                now_s = time.monotonic()
                if not turn.answer:
                    note.caption(waiting_note(turn, now_s - started_s))
                elif now_s >= next_drawing_s:
                    note.empty()
                    text.markdown(answer_markdown(turn.answer + CURSOR, turn.sources))
                    took_s = time.monotonic() - now_s
                    next_drawing_s = now_s + took_s + max(DRAW_EVERY_S, DRAW_SHARE * took_s)
    except GatewayError as error:
        remember(with_last(turns, fail(turn, str(error))))


def waiting_note(turn: Turn, waited_s: float) -> str:
    """What the reader waits for, while no text has come yet."""
    found = len(turn.sources)
    if found:
        doing = "Found 1 passage, reading it" if found == 1 else f"Found {found} passages, reading them"
    else:
        doing = "Searching the documents" if turn.query is None else "Writing"
    seconds = f" ({waited_s:.0f} s)" if waited_s >= 1 else ""
    slow = ". The engine is slow or busy: go on waiting, or stop." if waited_s >= SLOW_AFTER_S else "…"
    return f"{doing}{seconds}{slow}"


if __name__ == "__main__":
    main()
