"""serve.evaluation.retrieval.evaluation with the real embedder over small real chunks; the sums are checked by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rag.documents import Document, Hit, make_chunk
from rag.embedding.embedder import Embedder
from rag.errors import ReferenceUnknown
from rag.formats.parser import parse_document
from rag.index.generation import Index
from rag.search.retriever import Retriever
from rag.settings import RagSettings
from rag.sources.questions import READY_MADE, Question, WantedPassage, refer_to_chunk
from serve.evaluation.errors import ResultUnusable
from serve.evaluation.retrieval.evaluation import Outcome, ask_all, compare, index_ready_made, skip_repeated, summarize
from tests.rows import for_each

SETTINGS = RagSettings(home=Path("unused"))
TEXTS = {
    "antenna": (
        "Antenna violations are fixed by `repair_antennas`, which inserts diode cells at the gates of violating nets."
    ),
    "hold": (
        "Hold violations are repaired with `repair_timing -hold`, which inserts delay buffers after clock tree "
        "synthesis."
    ),
    "grid": "`pdngen` makes the power grid: straps and vias between the metal layers keep the IR drop small.",
    "scan": "Scan insertion replaces flip-flops by scan flip-flops and stitches them into chains for test patterns.",
}
# Far more than the 256 tokens that the embedder reads, about one thing; what is asked for stands at the very end.
FILLER = "\n\n".join(
    f"Macro {number} is placed on the grid of the floorplan, away from the edges of the core." for number in range(60)
)
LONG = f"{FILLER}\n\nAntenna violations of nets are fixed with diodes at the gates."


def a_document(name: str, text: str) -> Document:
    return parse_document(READY_MADE, f"{name}.md", "notes", text, None, "ISC")


def ask(text: str, *wanted: str, kind: str = "name") -> Question:
    return Question(text, text, kind, bool(wanted), tuple((refer_to_chunk(name),) for name in wanted))


def an_outcome(
    question: Question, ranks: tuple[int | None, ...], search_ms: float = 1.0, answered: bool = True, score: float = 0.5
) -> Outcome:
    return Outcome(
        question,
        ranks,
        (Hit(make_chunk(a_document("a", "text"), (), "text", 0), 0.1, 0.5, None),),
        search_ms,
        score,
        answered,
    )


@pytest.fixture(scope="module")
def embedder() -> Embedder:
    return Embedder.find(SETTINGS.embedder)


@pytest.fixture(scope="module")
def index(embedder: Embedder) -> Index:
    return index_ready_made([a_document(name, text) for name, text in TEXTS.items()], SETTINGS, embedder)


def test_a_ready_made_chunk_counts_once_however_often_it_is_cut(embedder: Embedder) -> None:
    sections = "\n\n".join(f"## Section {number}\n\n{TEXTS['hold']}" for number in range(30))
    index = index_ready_made([a_document("sections", sections), a_document("short", TEXTS["scan"])], SETTINGS, embedder)
    assert index.collections == {READY_MADE: 2}
    ranking = [
        hit.chunk.path for hit in Retriever(index, embedder, SETTINGS).rank("Which command repairs hold violations?")
    ]
    assert ranking.count("sections.md") > 1
    [outcome] = ask_all([ask("Which command repairs hold violations?", "short")], index, embedder, SETTINGS, 20)
    assert [hit.chunk.path for hit in outcome.hits] == ["sections.md", "short.md"]
    assert outcome.ranks == (2,)


def test_of_other_documents_every_piece_counts() -> None:
    document = Document("manual", "a.md", "A", "", None, "ISC")
    hits = [Hit(make_chunk(document, (), f"text {number}", number), 0.1, 0.1, None) for number in range(2)]
    assert list(skip_repeated(hits)) == hits


def test_the_ranking_has_hits_for_a_question_that_the_rule_refuses(embedder: Embedder, index: Index) -> None:
    off_topic = "Who won the football match yesterday?"
    assert Retriever(index, embedder, SETTINGS).search(off_topic) == []
    assert len(list(Retriever(index, embedder, SETTINGS).rank(off_topic))) == len(TEXTS)


def test_the_ranking_is_that_of_the_retriever_where_the_rule_lets_pass(embedder: Embedder, index: Index) -> None:
    question = "Which command repairs hold violations?"
    hits = Retriever(index, embedder, SETTINGS).search(question)
    assert hits
    assert list(Retriever(index, embedder, SETTINGS).rank(question))[: len(hits)] == hits


def test_questions_are_searched_and_ranked_and_judged(embedder: Embedder, index: Index) -> None:
    steps: list[tuple[str, int, int]] = []
    questions = [
        ask("How do I fix antenna violations?", "antenna"),
        ask("Who won the football match yesterday?"),
        ask("Which command makes the power grid?", "grid"),
    ]
    outcomes = ask_all(questions, index, embedder, SETTINGS, 3, lambda *step: steps.append(step))
    assert [outcome.ranks for outcome in outcomes] == [(1,), (), (1,)]
    assert [outcome.answered for outcome in outcomes] == [True, False, True]
    assert [len(outcome.hits) for outcome in outcomes] == [3, 3, 3]
    assert all(outcome.search_ms > 0 for outcome in outcomes)
    assert steps == [("search", 1, 3), ("search", 2, 3), ("search", 3, 3)]


def test_an_unknown_reference_stops_before_the_first_search(embedder: Embedder, index: Index) -> None:
    with pytest.raises(ReferenceUnknown, match="lost"):
        ask_all([ask("a question", "lost")], index, embedder, SETTINGS, 3)


def test_measures_are_means_overall_and_per_kind() -> None:
    outcomes = [
        an_outcome(ask("one", "a", "b", kind="name"), (1, None)),
        an_outcome(ask("two", "a", kind="name"), (4,)),
        an_outcome(ask("three", "a", kind="meaning"), (2,)),
        an_outcome(ask("four", kind="unanswerable"), (), answered=False, score=0.1),
    ]
    measures = summarize(outcomes)["measures"]
    assert {kind: group["questions"] for kind, group in measures.items()} == {"overall": 3, "meaning": 1, "name": 2}
    assert measures["overall"]["recall@1"]["mean"] == pytest.approx((0.5 + 0 + 0) / 3)
    assert measures["overall"]["recall@5"]["mean"] == pytest.approx((0.5 + 1 + 1) / 3)
    assert measures["overall"]["MRR"]["mean"] == pytest.approx((1 + 1 / 4 + 1 / 2) / 3)
    assert measures["name"]["recall@3"]["mean"] == pytest.approx(0.25)
    assert (
        0
        <= measures["overall"]["recall@5"]["low"]
        < measures["overall"]["recall@5"]["mean"]
        < measures["overall"]["recall@5"]["high"]
        <= 1
    )


def test_latencies_are_percentiles_of_the_searches() -> None:
    outcomes = [an_outcome(ask(f"question {number}", "a"), (1,), search_ms=float(number)) for number in range(1, 102)]
    assert summarize(outcomes)["search_ms"] == {"searches": 101, "p50": 51.0, "p95": 96.0, "p99": 100.0}


def test_the_decision_stands_beside_the_ranking() -> None:
    outcomes = [
        an_outcome(ask("one", "a"), (1,), answered=False, score=0.3),
        an_outcome(ask("two", "a"), (1,), answered=True, score=0.8),
        an_outcome(ask("three"), (), answered=False, score=0.2),
    ]
    decision = summarize(outcomes)["decision"]
    assert (decision["precision"]["mean"], decision["recall"]["mean"]) == (0.5, 1.0)
    assert [row["answerable"] for row in decision["reliability"]] == [0.0, 1.0, 1.0]


def test_without_an_answerable_question_there_is_no_ranking_to_measure() -> None:
    result = summarize([an_outcome(ask("off topic"), (), answered=False)])
    assert result["measures"] == {}
    assert result["decision"]["recall"]["mean"] == 1.0


def test_measures_are_also_means_of_each_collection() -> None:
    def ask_in(collection: str) -> Question:
        return Question("q", "q", "name", True, ((WantedPassage(collection, "a.md"),),))

    outcomes = [
        an_outcome(ask_in("magic"), (1,)),
        an_outcome(ask_in("magic"), (None,)),
        an_outcome(ask_in("gtkwave"), (2,)),
        an_outcome(ask("nothing answers this"), ()),
    ]
    collections = summarize(outcomes)["collections"]
    assert {name: group["questions"] for name, group in collections.items()} == {"gtkwave": 1, "magic": 2}
    assert collections["magic"]["recall@1"]["mean"] == 0.5
    assert collections["gtkwave"]["recall@5"]["mean"] == 1.0


def test_what_is_refused_is_counted_by_kind_of_question() -> None:
    outcomes = [
        an_outcome(ask("one", "a", kind="name"), (1,)),
        an_outcome(ask("two", "a", kind="name"), (1,), answered=False),
        an_outcome(ask("three", kind="near"), (), answered=False),
        an_outcome(ask("four", kind="far"), ()),
    ]
    decision = summarize(outcomes)["decision"]
    assert decision["wrongly_refused"]["mean"] == 0.5
    assert {kind: row["refused"]["mean"] for kind, row in decision["kinds"].items()} == {
        "far": 0.0,
        "name": 0.5,
        "near": 1.0,
    }
    nothing = summarize(outcomes[3:])["decision"]
    assert nothing["wrongly_refused"] is None


def test_the_difference_in_what_is_refused_is_paired_too() -> None:
    before, after = (
        summarize(
            [
                an_outcome(ask("one", "a"), (1,), answered=answered),
                an_outcome(ask("two", kind="far"), (), answered=not answered),
            ]
        )
        for answered in (True, False)
    )
    refused = compare(after, before)["refused"]
    assert refused["overall"]["refused"]["mean"] == 0.0
    assert (refused["name"]["refused"]["mean"], refused["far"]["refused"]["mean"]) == (1.0, -1.0)


def result_of(*ranks: int | None, names: str = "abcdefgh") -> dict[str, Any]:
    return summarize([an_outcome(ask(name, "a"), (rank,)) for name, rank in zip(names, ranks, strict=False)])


def test_the_difference_pairs_questions_by_their_text() -> None:
    # B: found at 2 against not at all; a: lost; c: better
    before, after = result_of(1, None, 8), result_of(1, 2, None, names="cba")
    difference = compare(after, before)["measures"]["overall"]
    assert difference["questions"] == 3
    assert difference["recall@5"]["mean"] == pytest.approx((1 + 1 - 1) / 3)
    assert difference["MRR"]["mean"] == pytest.approx((1 - 1 / 8 + 1 / 2 - 1) / 3)
    assert difference["recall@5"]["low"] < 0 < difference["recall@5"]["high"]


def test_a_result_differs_from_itself_by_nothing() -> None:
    result = result_of(1, 3, None)
    assert all(
        value == {"mean": 0.0, "low": 0.0, "high": 0.0}
        for name, value in compare(result, result)["measures"]["overall"].items()
        if name != "questions"
    )


def test_a_question_asked_twice_is_paired_turn_by_turn() -> None:
    before, after = result_of(1, None, names="aa"), result_of(None, 1, names="aa")
    difference = compare(after, before)["measures"]["overall"]
    assert (difference["questions"], difference["recall@1"]["mean"]) == (2, 0.0)
    assert difference["recall@1"]["high"] == 1.0


@for_each("other", [{}, [], None, {"questions": 3}, {"questions": [{"question": "a"}]}])
def test_a_foreign_document_to_compare_with_is_refused(other: Any) -> None:
    with pytest.raises(ResultUnusable, match="not one that `eval retrieval --json` wrote"):
        compare(result_of(1, 2), other)


def test_results_over_other_questions_are_not_compared() -> None:
    with pytest.raises(ResultUnusable, match="no question in common"):
        compare(result_of(1, names="a"), result_of(1, names="b"))
