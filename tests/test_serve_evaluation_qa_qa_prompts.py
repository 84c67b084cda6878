"""serve.evaluation.qa.qa_prompts beside the gateway itself: the same question must give the same messages."""

from __future__ import annotations

from pathlib import Path

import pytest

from rag.answering.token_budget import Budget, Counter, load_counter
from rag.documents import Chunk, Document, Hit, make_chunk
from rag.errors import QuestionsUnusable, ReferenceUnknown
from rag.search.retriever import Retriever
from rag.sources.questions import READY_MADE, Question, WantedPassage, refer_to_chunk
from serve.answers.chat import ground
from serve.evaluation.qa.qa_prompts import QaPrompt, build_prompts, golden_hits, retrieved_hits
from serve.protocol import ChatRequest
from serve.settings import ServeSettings
from serve.tokens.counter import TokenCounter
from tests.rows import for_each

WORDS = Counter(lambda text: len(text.split()), (), "words")
CHUNKS = [
    make_chunk(
        Document(READY_MADE, f"{name}.md", f"notes > {name}", f"About {name}: " + "word " * 40, None, "ISC"),
        (),
        f"About {name}",
        position,
    )
    for position, name in enumerate(("cts", "gr", "pdn"))
]


def ask(text: str, *wanted: WantedPassage, number: str = "1") -> Question:
    return Question(number, text, "kind", True, tuple((reference,) for reference in wanted), "an answer")


def only(prompts: list[QaPrompt]) -> QaPrompt:
    (prompt,) = prompts
    return prompt


@for_each(
    "question",
    [
        "How are antenna violations fixed?",
        "Hello! Which command repairs hold violations?",
        "What does <|im_end|> do in repair_antennas?",
    ],
)
@for_each("context_tokens", [64, 900])
def test_retrieved_prompts_are_the_gateways_own(
    small_retriever: Retriever, counter: TokenCounter, small_checkpoint: Path, question: str, context_tokens: int
) -> None:
    settings = ServeSettings(context_tokens=context_tokens)
    request = ChatRequest.model_validate(
        {"messages": [{"role": "user", "content": question}], "retrieval": {"top_k": 4}}
    )
    grounded = ground(request, small_retriever, counter, settings, 8192)
    own = load_counter(small_checkpoint)
    assert own is not None
    questions = [ask(question)]
    prompt = only(
        build_prompts(
            questions,
            retrieved_hits(questions, small_retriever, 4),
            own,
            Budget(context_tokens, settings.max_tokens, 8192),
        )
    )
    assert prompt.hits
    assert prompt.messages == grounded.body["messages"]
    assert prompt.hits == grounded.hits[: len(prompt.hits)]  # what is quoted besides follows


def test_where_the_gateway_answers_by_itself_there_are_no_messages(small_retriever: Retriever) -> None:
    questions = [ask("Who won the football match yesterday?")]
    prompt = only(
        build_prompts(questions, retrieved_hits(questions, small_retriever, 5), WORDS, Budget(900, 400, None))
    )
    assert (prompt.messages, prompt.hits, prompt.left_out) == (None, (), 0)


def test_the_tokenizer_of_a_checkpoint_counts_as_the_gateway_does(
    counter: TokenCounter, small_checkpoint: Path
) -> None:
    own = load_counter(small_checkpoint)
    assert own is not None
    for text in ("", "Use `set_wire_rc` [1].", "a <|im_end|> b", "Größe\n\n~~~"):
        assert own.count(text) == counter.count_text(text)
    assert own.special_tokens == counter.special_tokens
    assert own.source == str(small_checkpoint)


def test_a_folder_without_a_tokenizer_that_can_be_read_has_no_counter(tmp_path: Path) -> None:
    assert load_counter(tmp_path) is None
    assert load_counter(tmp_path / "nowhere") is None
    (tmp_path / "tokenizer.json").write_text("{}")
    assert load_counter(tmp_path) is None


def test_golden_hits_are_the_referenced_chunks_in_the_order_of_the_references() -> None:
    questions = [
        ask("?", refer_to_chunk("pdn"), refer_to_chunk("cts")),
        ask("?", refer_to_chunk("gr"), refer_to_chunk("gr")),
    ]
    assert [[hit.chunk.path for hit in hits] for hits in golden_hits(questions, CHUNKS)] == [
        ["pdn.md", "cts.md"],
        ["gr.md"],
    ]


def test_golden_hits_of_a_section_are_all_its_chunks_in_the_order_of_the_document() -> None:
    document = Document("docs", "a.md", "A", "", None, "ISC")
    chunks: list[Chunk] = [
        make_chunk(document, ("Options",) if position else ("Other",), f"text {position}", position)
        for position in range(4)
    ]
    (hits,) = golden_hits([ask("?", WantedPassage("docs", "a.md", "Options"))], chunks)
    assert [hit.chunk.position for hit in hits] == [1, 2, 3]


def test_a_reference_to_nothing_is_named() -> None:
    with pytest.raises(ReferenceUnknown, match="nowhere"):
        golden_hits([ask("?", refer_to_chunk("nowhere"))], CHUNKS)


def hits_of(*lengths: int) -> list[Hit]:
    document = Document("docs", "a.md", "A", "", None, "ISC")
    return [
        Hit(make_chunk(document, (), "\n".join(["word"] * length), position), 1.0, 1.0, None)
        for position, length in enumerate(lengths)
    ]


@for_each(
    ("context_tokens", "read", "left_out"),
    # Fences, number and title add four words to each passage
    [(None, 3, 0), (1000, 3, 0), (40, 2, 1), (20, 1, 2), (12, 1, 3)],
)
def test_passages_that_do_not_fit_are_counted(context_tokens: int | None, read: int, left_out: int) -> None:
    prompt = only(build_prompts([ask("Why so?")], [hits_of(10, 10, 10)], WORDS, Budget(context_tokens, 400, None)))
    assert (len(prompt.hits), prompt.left_out) == (read, left_out)


def test_the_window_holds_the_question_the_instructions_and_the_answer_too() -> None:
    assert Budget(None, 400, 2000).room(30) == 2000 - 400 - 30 - 200
    assert Budget(900, 400, 2000).room(30) == 900
    assert Budget(900, 400, 1000).room(30) == 370
    assert Budget(900, 400, None).room(10**6) == 900


def test_questions_without_room_for_a_passage_are_listed() -> None:
    questions = [ask("Why so?", number="7"), ask("Why " * 500, number="8"), ask("And " * 600, number="9")]
    with pytest.raises(QuestionsUnusable, match=r"questions 8, 9 .*max_model_len=1000"):
        build_prompts(questions, [hits_of(10)] * 3, WORDS, Budget(None, 400, 1000))


def test_the_hash_is_of_the_messages() -> None:
    prompts = build_prompts(
        [ask("Why?"), ask("Why?"), ask("How?")], [hits_of(5), hits_of(5), hits_of(5)], WORDS, Budget(None, 9, None)
    )
    assert prompts[0].prompt_hash == prompts[1].prompt_hash != prompts[2].prompt_hash
    assert [prompt.number for prompt in prompts] == [1, 2, 3]
