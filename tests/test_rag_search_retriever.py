"""rag.search.retriever and rag.search.langchain_retriever over six real documents."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.documents import Hit
from rag.embedding.embedder import Embedder
from rag.embedding.processor import multiplies_eight_bits
from rag.errors import CollectionUnknown, EmptyQuery, IndexMismatch, IndexNotFound
from rag.formats.parser import parse_document
from rag.index.building import build_index
from rag.index.glossary import expand_abbreviations, read_glossary
from rag.index.manifest import About
from rag.index.opening import open_index
from rag.search.clauses import split_clauses
from rag.search.langchain_retriever import ChipRetriever
from rag.search.relevance import weigh_unknown
from rag.search.retriever import Retriever, clean_query
from rag.settings import RagSettings
from tests.rows import for_each
from tests.tiny_embedder import TinyEmbedder

SETTINGS = RagSettings(home=Path("unused"))
TEXTS = {
    "Antenna repair": (
        "Antenna violations are fixed by `repair_antennas`, which inserts diode cells at the gates of violating nets."
    ),
    "Hold fixing": (
        "Hold violations are repaired with `repair_timing -hold`, which inserts delay buffers after clock tree "
        "synthesis."
    ),
    "Power grid": "`pdngen` makes the power grid: straps and vias between the metal layers keep the IR drop small.",
    "Wire parasitics": (
        "`set_wire_rc -layer M3` sets the resistance and capacitance that estimates use; see `-xyzzy_mode` too."
    ),
    "Reset synchronizer": (
        "A reset synchronizer asserts at once and releases on the clock edge, through two flip-flops in series."
    ),
    "Scan chains": (
        "Scan insertion replaces flip-flops by scan flip-flops and stitches them into chains for test patterns."
    ),
}


@pytest.fixture(scope="module")
def index_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("index")
    documents = [
        parse_document(
            "notes",
            f"{title.lower().replace(' ', '-')}.md",
            title,
            f"# {title}\n\n{text}\n",
            f"https://example.org/{number}",
            "ISC",
        )
        for number, (title, text) in enumerate(TEXTS.items())
    ]
    build_index(documents, folder, SETTINGS, Embedder.find(SETTINGS.embedder))
    return folder


@pytest.fixture(scope="module")
def retriever(index_dir: Path) -> Retriever:
    return Retriever.open(index_dir, SETTINGS)


@for_each(
    ("query", "title"),
    [
        ("How do I get rid of antenna violations?", "Antenna repair"),
        ("repair_timing -hold", "Hold fixing"),
        ("which command makes the power grid?", "Power grid"),
        ("set_wire_rc", "Wire parasitics"),
        ("how is a reset released safely?", "Reset synchronizer"),
        ("how are scan flip-flops stitched?", "Scan chains"),
    ],
)
def test_the_right_document_comes_first(retriever: Retriever, query: str, title: str) -> None:
    hits = retriever.search(query)
    assert hits[0].chunk.title == title
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)


def test_hits_carry_their_scores(retriever: Retriever) -> None:
    best = retriever.search("repair_timing -hold", 3)[0]
    assert best.dense_score is not None
    assert 0 < best.dense_score <= 1
    assert best.bm25_score is not None
    assert best.bm25_score > 0
    assert best.late_score is not None
    assert 0 < best.late_score < 1.2
    assert best.score > 1  # standard deviations above the mean of all


@pytest.mark.parametrize("query", ["What is the capital of Peru?", "best pizza in town", "who won the world cup?"])
def test_an_off_topic_question_finds_nothing(retriever: Retriever, query: str) -> None:
    assert retriever.search(query) == []


def test_a_question_is_answered_from_a_relevance_on(index_dir: Path, retriever: Retriever) -> None:
    question = "How are hold violations repaired?"
    relevance = retriever.relevance(question)
    assert 0.4 < relevance < 1
    assert Retriever.open(index_dir, replace(SETTINGS, min_relevance=relevance - 0.001)).search(question)
    assert Retriever.open(index_dir, replace(SETTINGS, min_relevance=relevance + 0.001)).search(question) == []


def test_what_comes_near_is_what_a_search_would_find(index_dir: Path, retriever: Retriever) -> None:
    question = "How are hold violations repaired?"
    strict = Retriever.open(index_dir, replace(SETTINGS, min_relevance=0.999))
    assert strict.search(question, 2) == []
    assert strict.nearest(question, 2) == retriever.search(question, 2) != []


@for_each(
    "question",
    [
        "What is the capital of Peru?",
        "How many GB does repairing hold violations take?",  # no passage speaks of memory
        "How are hold violations repaired in Innovus?",
    ],
)
def test_nothing_comes_near_a_question_of_something_else(retriever: Retriever, question: str) -> None:
    assert retriever.search(question) == []
    assert retriever.nearest(question, 8) == []


def test_a_name_that_no_passage_holds_speaks_against_an_answer(retriever: Retriever) -> None:
    known, unknown = (
        retriever.evidence(f"set_wire_rc -layer M3 {name}", by_token=True) for name in ("-xyzzy_mode", "-other_mode")
    )
    assert known.unknown_name == 0
    assert unknown.unknown_name == pytest.approx(weigh_unknown(6))
    assert retriever.relevance("set_wire_rc -layer M3 -xyzzy_mode") > retriever.relevance(
        "set_wire_rc -layer M3 -other_mode"
    )


def test_evidence_is_the_best_similarity_and_how_much_of_the_question_is_known(retriever: Retriever) -> None:
    question = "scan chains pizza"
    hits = list(retriever.rank(question))
    by_token, by_cosine = (retriever.evidence(question, by_token=by_token) for by_token in (True, False))
    assert by_token.similarity == max(hit.late_score or 0 for hit in hits)
    assert by_cosine.similarity == pytest.approx(max(hit.dense_score for hit in hits))
    assert by_token.terms == 3
    assert by_token.coverage + by_token.unknown / weigh_unknown(6) == pytest.approx(1)
    assert 0 < by_token.unknown < 0.5 * weigh_unknown(6)


def test_a_distant_passage_stays_where_it_holds_a_rare_name_of_the_question(index_dir: Path) -> None:
    strict = Retriever.open(index_dir, replace(SETTINGS, min_hit_score=0.99, min_relevance=0.0))
    assert [hit.chunk.title for hit in strict.search("-xyzzy_mode")] == ["Wire parasitics"]
    assert strict.search("hold") == []


GLOSSARY = """# Words

| Abbreviation | Expansion | Meaning |
| --- | --- | --- |
| WNS | Worst negative slack | Smallest slack. |
| MPW | Minimum pulse width; also multi-project wafer | Shortest pulse. |
| AT | Arrival time | When a signal arrives. |

| Other | Table |
| --- | --- |
| ABC | no abbreviation |
"""


def test_a_glossary_is_read_from_tables_headed_abbreviation_and_expansion() -> None:
    assert read_glossary([GLOSSARY, "no table"]) == {
        "wns": "Worst negative slack",
        "mpw": "Minimum pulse width",
        "at": "Arrival time",
    }


def test_abbreviations_are_read_with_their_expansion() -> None:
    glossary = read_glossary([GLOSSARY])
    assert expand_abbreviations("What is wns?", glossary) == "What is wns (Worst negative slack)?"
    assert (
        expand_abbreviations("look at AT and set_wns -wns wns_all", glossary)
        == "look at AT (Arrival time) and set_wns -wns wns_all"
    )


@pytest.mark.parametrize(
    "query", ["hold violations \ud83d", "\udcff hold violations", "hello, hold violations \u2192 \U0001f600!"]
)
def test_half_characters_and_signs_do_not_disturb_a_question(retriever: Retriever, query: str) -> None:
    assert retriever.search(query)[0].chunk.title == "Hold fixing"


@given(st.text())
def test_a_cleaned_question_has_words_or_is_refused(query: str) -> None:
    try:
        cleaned = clean_query(query)
    except EmptyQuery:
        return
    assert any(character.isalnum() for character in cleaned)
    assert cleaned.encode("utf-8")


def test_a_misspelled_question_is_searched_as_it_was_meant(retriever: Retriever) -> None:
    typed, meant = "How are antena violatoins fixed with doides?", "How are antenna violations fixed with diodes?"
    assert retriever.clean(typed) == meant
    assert retriever.search(typed) == retriever.search(meant)
    assert retriever.clean("Tempus antena") == "Tempus antenna"  # a tool stays, also one that nothing is about


def test_distant_passages_are_dropped_from_the_hits(index_dir: Path) -> None:
    strict = Retriever.open(index_dir, replace(SETTINGS, min_hit_score=0.5))
    assert [hit.chunk.title for hit in strict.search("How are antenna violations fixed with diodes?", 6)] == [
        "Antenna repair"
    ]


@for_each("query", ["", "  ", "?!", "\n", "\ud83d", "\U0001f600"])
def test_an_empty_question_is_refused(retriever: Retriever, query: str) -> None:
    with pytest.raises(EmptyQuery):
        retriever.search(query)


def test_a_question_longer_than_the_embedder_reads_is_searched_all_the_same(retriever: Retriever) -> None:
    assert retriever.search("How do I fix antenna violations with diodes? " * 500)[0].chunk.title == "Antenna repair"


def test_chunks_are_given_by_their_id(retriever: Retriever) -> None:
    chunk = retriever.search("antenna violations", 1)[0].chunk
    assert retriever.chunk(chunk.chunk_id) == chunk
    assert retriever.chunk("unknown") is None
    assert (retriever.chunk_count, retriever.collections) == (6, {"notes": 6})


def test_many_threads_get_the_answers_of_one(retriever: Retriever) -> None:
    queries = ["antenna violations", "hold buffers", "power grid straps", "scan chain stitching"] * 8
    expected = [[hit.chunk.chunk_id for hit in retriever.search(query)] for query in queries]
    with ThreadPoolExecutor(8) as pool:
        assert [[hit.chunk.chunk_id for hit in hits] for hits in pool.map(retriever.search, queries)] == expected


def test_opening_with_other_settings_or_nothing_is_refused(index_dir: Path, tmp_path: Path) -> None:
    with pytest.raises(IndexMismatch, match="chunk_tokens: 220 in the index, 100 now"):
        Retriever.open(index_dir, replace(SETTINGS, chunk_tokens=100))
    with pytest.raises(IndexNotFound):
        Retriever.open(tmp_path, SETTINGS)


def test_langchain_gets_documents_with_metadata(retriever: Retriever) -> None:
    documents = ChipRetriever(retriever=retriever, top_k=2).invoke("How do I fix antenna violations?")
    hit = retriever.search("How do I fix antenna violations?", 2)[0]
    assert len(documents) <= 2
    assert (documents[0].page_content, documents[0].id) == (hit.chunk.text, hit.chunk.chunk_id)
    assert documents[0].metadata["title"] == "Antenna repair"
    assert documents[0].metadata["url"] == "https://example.org/0"
    assert documents[0].metadata["score"] == hit.score


def test_langchain_gets_nothing_where_nothing_is_relevant(retriever: Retriever) -> None:
    assert ChipRetriever(retriever=retriever).invoke("What is the capital of Peru?") == []


@for_each(
    "query",
    ["How do I fix antenna violations?", "delay buffers for hold", "straps of the power grid", "scan flip-flops"],
)
def test_ranking_is_the_fusion_of_two_independent_calculations(retriever: Retriever, query: str) -> None:
    """Cosines by a matrix product, tokens compared one by one, without FAISS, signs in bits or our fusion."""
    embedder = Embedder.find(SETTINGS.embedder)
    texts = {f"{title}\n{text}": title for title, text in TEXTS.items()}
    cosines = dict(zip(texts.values(), embedder.embed(list(texts)) @ embedder.embed([query])[0], strict=True))
    [question] = embedder.embed_tokens([query])
    passages = {
        title: passage for passage in embedder.embed_tokens(list(texts)) for title in [[*texts.values()][passage.row]]
    }
    holding = {token: sum(token in passage.token_ids for passage in passages.values()) for token in question.token_ids}
    weights = [math.log1p((6 - holding[token] + 0.5) / (holding[token] + 0.5)) for token in question.token_ids]
    late = {}
    for title, passage in passages.items():
        signs = np.where(passage.token_vectors >= 0, 1, -1) / math.sqrt(question.vector.size) / math.sqrt(2 / math.pi)
        best = [max(float(token @ sign) for sign in signs) for token in question.token_vectors]
        late[title] = sum(map(math.prod, zip(weights, best, strict=True))) / sum(weights)
    bm25 = {
        chunk.title: float(score)
        for chunk, score in zip(retriever._index.chunks, retriever._index.bm25.scores(query), strict=True)
    }
    hits = list(retriever.rank(query))
    assert {hit.chunk.title for hit in hits} == set(TEXTS)
    by_token = {hit.chunk.title: hit.late_score or 0.0 for hit in hits}
    # Of numbers rounded to 8 bits
    assert by_token == pytest.approx(late, abs=1e-3 if multiplies_eight_bits() else 1e-4)
    for hit in hits:
        title = hit.chunk.title
        assert hit.dense_score == pytest.approx(cosines[title], abs=1e-4)
        parts = [(0.2, cosines), (1.0, by_token), (0.25, bm25)]
        expected = sum(weight * standardize(part[title], part.values()) for weight, part in parts) / 1.45
        assert hit.score == pytest.approx(expected, abs=1e-3)


def standardize(value: float, values: Iterable[float]) -> float:
    """A value in standard deviations above the mean of all."""
    everything = list(values)
    return (value - statistics.fmean(everything)) / statistics.pstdev(everything)


COMPOUND = "Repair the antenna violations of my nets, then stitch scan flip-flops into chains"


def test_a_compound_question_is_scored_as_a_whole_and_by_the_best_fitting_clause(index_dir: Path) -> None:
    alone = Retriever.open(index_dir, replace(SETTINGS, clause_share=0.0))
    whole, *clauses = (
        {hit.chunk.title: hit.score for hit in alone.rank(text)} for text in (COMPOUND, *split_clauses(COMPOUND))
    )
    assert len(clauses) == 2
    for share in (0.25, 1.0):
        hits = list(Retriever.open(index_dir, replace(SETTINGS, clause_share=share)).rank(COMPOUND))
        assert {hit.chunk.title for hit in hits} == set(TEXTS)
        for hit in hits:
            best = max(clause[hit.chunk.title] for clause in clauses)
            assert hit.score == pytest.approx((1 - share) * whole[hit.chunk.title] + share * best, abs=1e-3)


def test_both_answers_of_a_compound_question_come_first_with_the_wholes_relevance(
    index_dir: Path, retriever: Retriever
) -> None:
    assert {hit.chunk.title for hit in retriever.search(COMPOUND, 2)} == {"Antenna repair", "Scan chains"}
    assert retriever.relevance(COMPOUND) == Retriever.open(index_dir, replace(SETTINGS, clause_share=0.0)).relevance(
        COMPOUND
    )


@pytest.fixture(scope="module")
def tools(tmp_path_factory: pytest.TempPathFactory) -> Retriever:
    """Three collections: two versions of a router and a timer."""
    folder = tmp_path_factory.mktemp("tools")
    texts = {"router@1.0": "Antenna repair", "router@2.0": "Antenna repair", "timer": "Hold fixing"}
    documents = [
        parse_document(
            name, "a.md", title, f"# {title}\n\n{TEXTS[title]}\n", None, "ISC", version=name.partition("@")[2]
        )
        for name, title in texts.items()
    ]
    build_index(documents, folder, SETTINGS, Embedder.find(SETTINGS.embedder))
    return Retriever.open(folder, SETTINGS)


def places(hits: list[Hit]) -> set[str]:
    """The collections that hold what was found, copies included."""
    return {chunk.collection for hit in hits for chunk in (hit.chunk, *hit.copies)}


def test_only_the_named_collections_are_searched(tools: Retriever) -> None:
    query = "How are antenna violations repaired with diodes?"
    assert places(tools.search(query)) >= {"router@1.0", "router@2.0"}
    hits = tools.search(query, collections=["router@2.0"])
    assert [(hit.chunk.collection, hit.chunk.version) for hit in hits] == [("router@2.0", "2.0")]
    assert places(tools.search(query, collections=["router"])) == {"router@1.0", "router@2.0"}
    assert (tools.search(query, 1, ["router"])[0].late_score or 0) > 0


def test_what_only_another_collection_answers_is_not_answered(tools: Retriever) -> None:
    assert tools.search("repair_timing -hold", collections=["timer"])
    assert tools.search("which delay buffers come after clock tree synthesis?", collections=["router"]) == []


def test_a_selection_counts_its_own_chunks_and_finds_any_by_id(tools: Retriever) -> None:
    timer = tools.within(["timer"])
    assert (timer.chunk_count, timer.collections, tools.chunk_count) == (1, {"timer": 1}, 3)
    with pytest.raises(CollectionUnknown, match=r"no collection 'placer'; it holds router@1\.0, router@2\.0, timer"):
        tools.search("hold", collections=["placer"])


def test_comparing_what_was_found_embeds_nothing_again(tmp_path: Path) -> None:
    embedder = TinyEmbedder()
    documents = [
        parse_document("notes", f"{title}.md", title, f"# {title}\n\n{text}\n", None, "ISC")
        for title, text in TEXTS.items()
    ]
    build_index(documents, tmp_path / "index", SETTINGS, embedder)
    retriever = Retriever(open_index(tmp_path / "index"), embedder, SETTINGS)

    question = "Which command repairs antenna violations?"
    hits = list(retriever.rank(question))
    embedder.texts.clear()
    [compared] = retriever.compare([question], hits)
    assert embedder.texts == []
    assert len(compared) == len(hits)


def test_each_token_of_a_passage_stands_where_it_is_said_to(tmp_path: Path) -> None:
    embedder = TinyEmbedder()
    text = TEXTS["Power grid"]
    build_index(
        [parse_document("notes", "a.md", "Grid", f"# Grid\n\n{text}\n", None, "ISC")],
        tmp_path / "index",
        SETTINGS,
        embedder,
    )
    retriever = Retriever(open_index(tmp_path / "index"), embedder, SETTINGS)

    hits = list(retriever.rank("What makes the power grid?"))
    [[compared]] = retriever.compare(["What makes the power grid?"], hits)
    said = [hits[0].chunk.text[start:end] for start, end in compared.places if start >= 0]
    assert said == text.split()
    assert compared.vectors.shape == (len(compared.places), embedder.dimension)


def test_the_default_embedder_knows_where_its_tokens_stand(retriever: Retriever) -> None:
    hits = list(retriever.rank("Which command repairs antenna violations?"))
    [compared] = retriever.compare(["Which command repairs antenna violations?"], hits)
    for hit, one in zip(hits, compared, strict=True):
        assert len(one.places) == len(one.vectors) > 10
        assert all(hit.chunk.text[start:end].isalnum() for start, end in one.places if start >= 0)


@pytest.mark.parametrize(
    ("question", "same"),
    [
        ("antenna violations at d[0] and d[31:8]", "antenna violations at d and d"),
        ("antenna violations at u_core/u_alu/q_reg[3]", "antenna violations at"),
    ],
)
def test_names_of_the_readers_own_design_are_not_missed_in_the_documents(
    retriever: Retriever, question: str, same: str
) -> None:
    evidence, expected = (retriever.evidence(text, by_token=False) for text in (question, same))
    assert (evidence.coverage, evidence.unknown_name) == (expected.coverage, 0.0)
    assert retriever.evidence("antenna violations and -xyzzy_mode", by_token=False).unknown_name == 0.0
    assert retriever.evidence("antenna violations and -plugh_mode", by_token=False).unknown_name > 0.0


def test_of_equally_good_passages_those_of_a_source_that_ranks_lower_come_last(tmp_path: Path) -> None:
    texts = {
        ("notes", "hold"): "Hold violations are fixed by delay buffers here.",
        ("tool", "hold"): "Hold violations are fixed by delay buffers.",
        ("tool", "clock"): "The clock tree is balanced.",
        ("tool", "antenna"): "Diodes are inserted.",
    }
    documents = [
        parse_document(collection, f"{name}.md", name, f"# {name}\n\n{text}\n", None, "ISC")
        for (collection, name), text in texts.items()
    ]
    first = {}
    for lowered in ("notes", "tool"):
        about = {lowered: About(ranks_lower=True)}
        build_index(documents, tmp_path, RagSettings(home=tmp_path), TinyEmbedder(), about=about)
        retriever = Retriever.open_with(TinyEmbedder(), tmp_path, RagSettings(home=tmp_path))
        first[lowered] = next(retriever.rank("how are hold violations fixed")).chunk.collection
    assert first == {"notes": "tool", "tool": "notes"}
