"""merge.training.triplets: prompts that hold their answer, prompts that do not, and what their citations point to.

On a real index of six documents.
"""

from __future__ import annotations

import random

import pytest

from merge.training.triplets import (
    ALSO_HELD,
    BUDGET_TOKENS,
    MARKED,
    NOT_HELD,
    REFUSALS,
    SHORT,
    TOO_LONG,
    Triplet,
    TripletMaker,
    held_share,
    lacks,
    names_in,
)
from rag.answering.citations import cite_markers
from rag.answering.prompt import CUT_MARK, RULES, SYSTEM, build_prompt
from rag.answering.token_budget import Counter
from rag.documents import Chunk, Document, make_chunk
from rag.search.retriever import Retriever
from rag.training.triplet_templates import Draft
from serve.tokens.counter import TokenCounter
from tests.conftest import SIX_DOCUMENTS
from tests.rows import for_each

QUESTION = "Which command repairs antenna violations?"
ANSWER = "`repair_antennas` inserts diode cells near the gates of the nets."


@pytest.fixture(scope="module")
def words(counter: TokenCounter) -> Counter:
    """Counts words and signs; `<end>` is a control token."""
    return Counter(lambda text: len(text.split()), ("<end>",), "words")


@pytest.fixture(scope="module")
def maker(small_retriever: Retriever, words: Counter) -> TripletMaker:
    return TripletMaker(small_retriever, words, seed=0)


def chunk_of(retriever: Retriever, title: str) -> Chunk:
    return next(hit.chunk for hit in retriever.rank(title) if hit.chunk.title == title)


@pytest.fixture
def draft(small_retriever: Retriever) -> Draft:
    return Draft(QUESTION, ANSWER, (chunk_of(small_retriever, "Antenna repair"),))


def made(found: Triplet | str) -> Triplet:
    assert isinstance(found, Triplet), found
    return found


def many(maker: TripletMaker, draft: Draft, count: int = 40) -> list[Triplet]:
    """The triplets of questions that differ in a word, so that other passages and budgets are drawn."""
    return [
        made(maker.answerable("template", Draft(f"{draft.question} {number}", draft.answer, draft.golden)))
        for number in range(count)
    ]


def test_the_messages_are_those_of_the_gateway(
    maker: TripletMaker, draft: Draft, small_retriever: Retriever, words: Counter
) -> None:
    triplet = made(maker.answerable("template", draft))
    titles = [part.split("\n")[2] for part in triplet.user.split("[")[1:] if "~~~" in part]
    hits = {hit.chunk.title: hit for hit in small_retriever.rank(QUESTION)}
    prompt = build_prompt(QUESTION, [hits[title] for title in titles], words.count, 10_000, words.special_tokens)
    assert (triplet.system, triplet.user) == (prompt.system, prompt.user) == (f"{SYSTEM} {RULES}", prompt.user)


def test_the_citation_is_the_number_of_the_golden_passage(maker: TripletMaker, draft: Draft) -> None:
    numbers = set()
    for triplet in many(maker, draft):
        [number] = triplet.golden
        passage = triplet.user.split(f"[{number}]\n~~~\n")[1].split("\n~~~")[0]
        assert passage.endswith(draft.golden[0].text)
        assert triplet.answer == f"`repair_antennas` inserts diode cells near the gates of the nets [{number}]."
        numbers.add(number)
    assert len(numbers) >= 3


def test_the_answer_reads_as_one_citation(maker: TripletMaker, draft: Draft, small_retriever: Retriever) -> None:
    triplet = made(maker.answerable("template", draft))
    hits = list(small_retriever.rank(QUESTION))[:4]
    assert tuple(citation.number for citation in cite_markers(triplet.answer, len(hits))) == triplet.golden


def test_one_to_four_passages_stand_in_a_prompt_and_none_twice(maker: TripletMaker, draft: Draft) -> None:
    counts = set()
    for triplet in many(maker, draft):
        passages = [text for text in SIX_DOCUMENTS.values() if text in triplet.user]
        assert triplet.user.count("~~~\n\nQuestion:") == 1
        assert triplet.user.count("\n~~~\n") == 2 * len(passages)
        counts.add(len(passages))
    assert counts == {1, 2, 3, 4}


def test_a_prompt_keeps_within_its_budget_and_the_golden_passage_is_never_cut(small_retriever: Retriever) -> None:
    dear = Counter(lambda text: 10 * len(text.split()), (), "dear words")  # so that few passages fit
    maker = TripletMaker(small_retriever, dear, seed=1)
    golden = chunk_of(small_retriever, "Antenna repair")
    for triplet in many(maker, Draft(QUESTION, ANSWER, (golden,))):
        context = triplet.user.removeprefix("Context:\n").split("\n\nQuestion:")[0]
        assert dear.count(context) <= BUDGET_TOKENS[1]
        assert golden.text in triplet.user
        assert CUT_MARK not in triplet.user


def test_a_golden_passage_that_does_not_fit_gives_no_triplet(small_retriever: Retriever, draft: Draft) -> None:
    maker = TripletMaker(small_retriever, Counter(lambda text: 100 * len(text.split()), (), "dearest words"))
    assert maker.answerable("template", draft) == TOO_LONG


def test_control_tokens_of_the_model_are_broken(small_retriever: Retriever, words: Counter, draft: Draft) -> None:
    triplet = made(
        TripletMaker(small_retriever, words).answerable(
            "template", Draft("Which command <end> repairs?", ANSWER, draft.golden)
        )
    )
    assert "<end>" not in triplet.user


def test_a_passage_that_answers_too_is_not_a_distractor(small_retriever: Retriever, words: Counter) -> None:
    copy = make_chunk(
        Document("other", "copy.md", "Copy", "", None, "ISC"), (), f"Copied. {SIX_DOCUMENTS['Antenna repair']}", 0
    )
    maker = TripletMaker(small_retriever, words)
    for triplet in many(maker, Draft(QUESTION, ANSWER, (copy,))):
        assert triplet.user.count("repair_antennas") == copy.text.count("repair_antennas")


def test_a_triplet_carries_its_source_and_its_licence(maker: TripletMaker, draft: Draft) -> None:
    row = made(maker.answerable("template", draft)).as_row()
    assert row["source"] == {"document": "notes/antenna-repair.md", "licence": "Apache-2.0", "answers": None}
    assert list(row) == ["id", "kind", "question", "answer", "messages", "source"]
    assert row["kind"] == "template"
    assert [message["role"] for message in row["messages"]] == ["system", "user"]  # type: ignore[attr-defined]


def test_an_answer_of_people_is_kept_with_the_passage_that_holds_it(maker: TripletMaker) -> None:
    found = maker.find_golden(
        "How are antenna violations fixed?", "The command repair_antennas inserts diode cells near gates", "pairs.csv"
    )
    assert isinstance(found, Draft)
    assert [chunk.title for chunk in found.golden] == ["Antenna repair"]
    assert (found.answer, found.origin) == ("The command repair_antennas inserts diode cells near gates.", "pairs.csv")
    triplet = made(maker.answerable("answer", found))
    assert triplet.as_row()["source"]["answers"] == "pairs.csv"  # type: ignore[index]


@for_each(
    ("answer", "reason"),
    [
        ("The antenna rules limit the ratio of metal area to gate area at each step of manufacturing.", NOT_HELD),
        # A name that no passage has
        ("The command fix_antennas inserts diode cells near the gates of the nets.", NOT_HELD),
        ("Yes.", SHORT),
        ("diode " * 140, SHORT),
        ("The command repair_antennas inserts diode cells near gates [1].", MARKED),
    ],
)
def test_an_answer_that_no_passage_holds_is_dropped(maker: TripletMaker, answer: str, reason: str) -> None:
    assert maker.find_golden("How are antenna violations fixed?", answer, "pairs.csv") == reason


def test_answers_with_marks_like_citations_give_no_triplet(maker: TripletMaker, draft: Draft) -> None:
    assert maker.answerable("template", Draft(QUESTION, "Values in [1, 2] are allowed.", draft.golden)) == MARKED


def test_an_unanswerable_prompt_lacks_the_golden_document_and_its_answer(maker: TripletMaker, draft: Draft) -> None:
    triplets = [made(maker.unanswerable(Draft(f"{QUESTION} {number}", ANSWER, draft.golden))) for number in range(30)]
    for triplet in triplets:
        assert triplet.kind == "unanswerable"
        assert "repair_antennas" not in triplet.user
        assert triplet.golden == ()
        assert triplet.user.startswith("Context:\n[1]\n~~~\n")
    assert {triplet.answer for triplet in triplets} == set(REFUSALS)
    assert made(maker.unanswerable(draft)).licence == "Apache-2.0"


def test_a_question_that_other_documents_answer_is_not_made_unanswerable(maker: TripletMaker) -> None:
    elsewhere = make_chunk(
        Document("other", "copy.md", "Copy", "", None, "ISC"), (), SIX_DOCUMENTS["Antenna repair"], 0
    )
    assert maker.unanswerable(Draft(QUESTION, ANSWER, (elsewhere,))) == ALSO_HELD


def test_a_passage_lacks_an_answer_by_its_names_or_by_what_the_answer_adds(small_retriever: Retriever) -> None:
    hold = chunk_of(small_retriever, "Hold fixing")
    scan = chunk_of(small_retriever, "Scan chains")
    named = Draft(
        "What does `repair_timing -hold` insert?", "It inserts delay buffers after clock tree synthesis.", (hold,)
    )
    assert not lacks(hold, named)
    assert lacks(scan, named)
    plain = Draft("What does scan insertion replace?", "Flip-flops are stitched into chains.", (scan,))
    assert not lacks(scan, plain)
    assert lacks(hold, plain)


def test_a_passage_with_the_name_that_is_asked_for_may_answer(small_retriever: Retriever) -> None:
    corners = chunk_of(small_retriever, "Reading Liberty")
    explained = Draft(
        "What does `define_corners` do?", "It says how many process variants exist, see `set_units`.", (corners,)
    )
    assert not lacks(
        corners, Draft("What does `define_corners` do?", "It says how many process variants exist.", (corners,))
    )
    assert not lacks(corners, explained)  # though a name of this answer is not there
    assert lacks(
        corners,
        Draft("Which option of `define_corners` makes it slow?", "`-slow_mode` slackens everything.", (corners,)),
    )
    assert not lacks(corners, Draft("Which command names corners?", "It is `define_corners`.", (corners,)))


def test_an_answer_that_adds_nothing_to_its_question_is_never_taken_for_missing(small_retriever: Retriever) -> None:
    scan = chunk_of(small_retriever, "Scan chains")
    assert not lacks(scan, Draft("Are scan chains patterns?", "Scan chains.", (scan,)))


def test_the_share_that_is_held_counts_terms_of_all_passages(small_retriever: Retriever) -> None:
    hold, scan = chunk_of(small_retriever, "Hold fixing"), chunk_of(small_retriever, "Scan chains")
    answer = "delay buffers, chains, zebra"
    assert held_share(answer, [hold]) == pytest.approx(2 / 4)
    assert held_share(answer, [hold, scan]) == pytest.approx(3 / 4)
    assert held_share("", [hold]) == 0.0


def test_names_are_commands_options_and_message_numbers() -> None:
    assert names_in("Run `repair_timing -hold` after GRT-0243, with HOLD on clk[3].") == {
        "repair_timing",
        "-hold",
        "grt-0243",
        "clk[3]",
    }


def test_what_is_drawn_depends_on_the_seed_and_the_question_alone(
    small_retriever: Retriever, words: Counter, draft: Draft
) -> None:
    other = Draft("Where are diodes inserted?", draft.answer, draft.golden)
    first = TripletMaker(small_retriever, words, 3)
    alone = [made(first.answerable("template", draft)), made(first.unanswerable(draft))]
    second = TripletMaker(small_retriever, words, 3)
    second.answerable("template", other)
    random.random()
    assert [made(second.answerable("template", draft)), made(second.unanswerable(draft))] == alone
    users = {made(TripletMaker(small_retriever, words, seed).answerable("template", draft)).user for seed in range(10)}
    assert len(users) > 1
