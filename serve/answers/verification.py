"""Checks an answer against the passages found: the `verification` of a message, and its citations.

It words no answer and drops no sentence. Each sentence takes some ten milliseconds, so callers run it in threads.

    examiner = Examiner(grounded, passages, code_checker, texts)
    verification, citations = examiner.verify("Use `repair_antennas`.", mode="model")
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Protocol

from rag.answering.citations import Citation, cite
from rag.answering.names import allowed_names, unknown_names
from rag.checking.code_checks import CodeChecker, check_blocks, read_block
from rag.checking.sentences import Part, split_answer
from rag.checking.support import Evidence, Sentence, check_part, is_claim
from rag.checking.windows import Source, TokenReader, read_sources
from rag.documents import describe_place
from rag.errors import EmbedderUnavailable, IndexCorrupt
from rag.reference.cards import Reference
from rag.search.retriever import NoTokens
from serve.answers.chat import Grounded, thoughts_end

MOST_CHARACTERS = 200_000  # of an answer that are checked
MOST_SENTENCES = 200  # of an answer that are checked: an answer of 400 tokens has some twenty


class Store(TokenReader, Protocol):
    """What this module needs of a `rag.search.retriever.Retriever`."""

    @property
    def reference(self) -> Reference:
        """What the documents describe. Raises IndexCorrupt."""


@dataclass(frozen=True)
class Examiner:
    """What one answer is checked against. `texts` are the conversation's messages, whose names an answer may say."""

    grounded: Grounded
    store: Store
    checker: CodeChecker
    texts: tuple[str, ...]

    judged: Counter[str] = field(default_factory=Counter)  # how many parts were checked against the passages

    @cached_property
    def sources(self) -> list[Source]:
        """The passages as evidence."""
        return read_sources(self.grounded.hits, self.store)

    @cached_property
    def sources_of_words(self) -> list[Source]:
        """The same without tokens, for when the embedding server is missing: words, names and numbers decide."""
        return read_sources(self.grounded.hits, NoTokens())

    @cached_property
    def reference(self) -> Reference | None:
        """What the documents describe, if the index has a reference."""
        try:
            return self.store.reference
        except IndexCorrupt:
            return None

    @cached_property
    def passages(self) -> tuple[str, ...]:
        """Their texts with their places."""
        chunks = [hit.chunk for hit in self.grounded.hits]
        return tuple(f"{describe_place(chunk.title, chunk.heading_path)}\n{chunk.text}" for chunk in chunks)

    @cached_property
    def allowed(self) -> frozenset[str]:
        """The names that an answer may say: those of the passages and of the conversation."""
        return allowed_names([*self.passages, *self.texts])

    def judge(self, part: Part, text: str) -> Sentence | None:
        """One part of an answer; None if it says nothing that needs support.

        Code is supported if its names are known and it has no fault. Nothing after `MOST_SENTENCES` is supported.
        """
        if part.kind == "code":
            language, code = read_block(text)
            is_sound = (
                not self.unknown_names(text)
                and self.checker.check(code, language, self.reference, self.passages).ruling != "faulty"
            )
            return Sentence(part.start, part.end, float(is_sound))
        if not is_claim(text, part):
            return None
        self.judged["parts"] += 1
        if self.judged["parts"] > MOST_SENTENCES:
            return Sentence(part.start, part.end, 0.0)
        try:
            return check_part(text, part, self.sources, self.grounded.quotes, self.store)
        except EmbedderUnavailable:
            return check_part(text, part, self.sources_of_words, self.grounded.quotes, NoTokens())

    def unknown_names(self, text: str) -> list[str]:
        """The names in a text that are in neither the passages nor the conversation, each once."""
        return list(dict.fromkeys(name.text for name in unknown_names(text, self.allowed)))

    def verify(self, answer: str, mode: str, looped: bool = False) -> tuple[dict[str, Any], list[Citation]]:
        """A model's whole answer.

        If nothing was searched, there is nothing to check the words against; code is still parsed.
        """
        begin = thoughts_end(answer)
        said = answer[begin : begin + MOST_CHARACTERS]
        sentences: list[Sentence] = []
        if self.grounded.query is not None:
            parts = [part for part in split_answer(said) if part.kind != "code"]
            judged = (self.judge(part, said[part.start : part.end]) for part in parts)
            sentences = [replace(one, start=begin + one.start, end=begin + one.end) for one in judged if one]
        unknown = self.unknown_names(said) if self.grounded.query is not None else []
        return self._describe(answer, mode, sentences, unknown, looped=looped), cite(answer, sentences)

    def verify_quotes(
        self, answer: str, mode: str, citations: Sequence[Citation], kept: Sequence[Sentence] = (), **more: Any
    ) -> dict[str, Any]:
        """An answer in the documents' own words, perhaps after sentences checked one by one.

        Each quote is its own support.
        """
        quoted = [
            Sentence(one.start, one.end, 1.0, (one.number,), *self._quotes_of(one.number))
            for one in citations
            if one.end > one.start
        ]
        return self._describe(answer, mode, [*kept, *quoted], [], **more)

    def _quotes_of(self, number: int) -> tuple[tuple[int, ...], tuple[Evidence, ...]]:
        """The quotes of a passage, by index and by place."""
        quotes = [(index, quote) for index, quote in enumerate(self.grounded.quotes) if quote.number == number]
        indices = tuple(index for index, _ in quotes)
        return indices, tuple(Evidence(number, quote.start, quote.end) for _, quote in quotes)

    def _describe(
        self, answer: str, mode: str, sentences: Sequence[Sentence], unknown: list[str], **more: Any
    ) -> dict[str, Any]:
        answer = answer[:MOST_CHARACTERS]
        begin = thoughts_end(answer)
        blocks = [part for part in split_answer(answer) if part.kind == "code" and part.start >= begin]
        code = check_blocks(answer, blocks, self.checker, self.reference, self.passages) if blocks else []

        return {
            "mode": mode,
            "sentences": [
                {
                    "start": one.start,
                    "end": one.end,
                    "supported": one.supported,
                    "score": round(one.score, 3),
                    "passages": list(one.passages),
                    "quotes": list(one.quotes),
                    "evidence": [place._asdict() for place in one.evidence],
                }
                for one in sentences
            ],
            "unknown_names": unknown,
            "code": [
                {
                    "start": part.start,
                    "end": part.end,
                    "language": verdict.language,
                    "verdict": verdict.ruling,
                    "diagnostics": [{"line": line, "message": message} for line, message in verdict.diagnostics],
                }
                for part, verdict in code
            ],
            "looped": False,
            "stopped": False,
            "dropped": 0,
            **more,
        }
