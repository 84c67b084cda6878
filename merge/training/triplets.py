"""Context-question-answer triplets to fine-tune a chat model on, with the gateway's own prompts.

Every prompt is built by `rag.answering.prompt.build_prompt`; beside the golden passage it holds passages that the
search finds, so that a model learns to choose among them. Some questions lose their golden passages: if no other
passage holds the answer, the answer says so. It reads and writes no file.

    maker = TripletMaker(retriever, counter, seed=0)
    triplet = maker.answerable("template", draft)  # or the reason why there is none
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice

from rag.answering.prompt import CUT_MARK, Prompt, build_prompt
from rag.answering.token_budget import Counter
from rag.documents import Chunk, Hit, hash_text, searchable_text
from rag.index.bm25 import content_terms, find_tokens, is_identifier, tokenize
from rag.search.retriever import Retriever
from rag.training.triplet_phrases import cite_at_end, has_marker, with_stop
from rag.training.triplet_templates import Draft

QUESTION, ANSWER, HANDBOOK, TASK, TEMPLATE, UNANSWERABLE = (
    "question",
    "answer",
    "handbook",
    "task",
    "template",
    "unanswerable",
)
# Share of an answer's terms that its passages hold. Pairs below it were read: they state what the passages do not.
LEAST_HELD = 0.7
LEAST_TERMS = 3  # of an answer, to find where it stands
MOST_ANSWER_WORDS = 130  # of an answer written by people; a small model rambles after longer ones
# A passage that holds so many of an answer's terms (and all its names) answers too: it is not a distractor.
ALSO_ANSWERS = 0.8
# A passage with fewer than this share of the terms that the answer has and the question has not does not answer, if it
# lacks a name besides.
LACKS = 0.5
# Least and most for the passages of a prompt, drawn for each: short prompts are cheap to train, and long ones occur
BUDGET_TOKENS = (250, 1000)
PASSAGES = (1, 2, 3, 4)
PASSAGE_WEIGHTS = (15, 25, 30, 30)  # how often each number is tried
CANDIDATES = 16  # hits searched for distractors
GOLDEN_CANDIDATES = 8  # hits searched for an answer's golden passage
# Few and plain, so that a small model learns the sentence; each is used equally often.
REFUSALS = (
    "The context does not say this.",
    "The context does not hold the answer.",
    "The passages do not answer this question.",
    "I cannot find the answer in the context.",
)
_ASKS_FOR_NAME = re.compile(r"(?:which|what) (?:option|argument|parameter|flag)|how (?:do|can) i\b", re.IGNORECASE)
TOO_LONG, NOT_HELD, SHORT, MARKED, ALSO_HELD, NOTHING_FOUND = (
    "golden passage too long",
    "answer not held by the passages",
    "answer too short or too long",
    "answer has marks like citations",
    "answer held by what was found",
    "nothing was found",
)


@dataclass(frozen=True, slots=True)
class Triplet:
    """A prompt and its answer.

    `tokens` counts the user message's tokens; `golden` holds the numbers of the passages with the answer, () for none.
    """

    kind: str
    question: str
    answer: str
    system: str
    user: str
    document: str
    licence: str
    origin: str | None
    tokens: int
    golden: tuple[int, ...]

    def as_row(self) -> dict[str, object]:
        """The line of the file, as `chipalign adapt model` reads it."""
        return {
            "id": hash_text(self.question, self.answer, self.user)[:16],
            "kind": self.kind,
            "question": self.question,
            "answer": self.answer,
            "messages": [{"role": "system", "content": self.system}, {"role": "user", "content": self.user}],
            "source": {"document": self.document, "licence": self.licence, "answers": self.origin},
        }


class TripletMaker:
    """Makes prompts around drafts.

    What it draws for a question depends only on the seed and that question.
    """

    def __init__(self, retriever: Retriever, counter: Counter, seed: int = 0) -> None:
        self._retriever = retriever
        self._counter = counter
        self._seed = seed

    def find_golden(self, question: str, answer: str, origin: str) -> Draft | str:
        """The draft of a pair that people wrote, with its golden passages; else the reason to drop it.

        The answer stands in one passage, or in two of one document: they hold all its names of commands and options,
        and `LEAST_HELD` of its content terms.
        """
        if len(content_terms(answer)) < LEAST_TERMS or len(answer.split()) > MOST_ANSWER_WORDS:
            return SHORT
        if has_marker(answer):
            return MARKED
        chunks = [hit.chunk for hit in islice(self._retriever.rank(f"{question} {answer}"), GOLDEN_CANDIDATES)]
        if not chunks:
            return NOTHING_FOUND
        best = max(chunks, key=lambda chunk: held_share(answer, [chunk]))
        if _holds(answer, [best]):
            return Draft(question, with_stop(answer), (best,), origin)
        for second in chunks:
            if (
                second != best
                and (second.collection, second.path) == (best.collection, best.path)
                and _holds(answer, [best, second])
            ):
                return Draft(question, with_stop(answer), (best, second), origin)
        return NOT_HELD

    def answerable(self, kind: str, draft: Draft) -> Triplet | str:
        """The triplet with whole golden passages at random places among distractors; else the reason for none."""
        if has_marker(draft.answer):
            return MARKED
        dice = random.Random(f"{self._seed}/{draft.question}")
        wanted = dice.choices(PASSAGES, PASSAGE_WEIGHTS)[0]
        budget = dice.randint(*BUDGET_TOKENS)
        golden = [Hit(chunk, 1.0, 1.0, None) for chunk in draft.golden]
        beside = [hit for hit in self._found(draft.question) if _is_distractor(hit.chunk, draft)][
            : max(0, wanted - len(golden))
        ]
        for count in range(len(beside), -1, -1):
            hits = [*beside[:count]]
            for hit in golden:
                hits.insert(dice.randint(0, len(hits)), hit)
            # A golden passage alone may take more than was drawn, but never more than the most.
            prompt = self._build(draft.question, hits, budget if count else BUDGET_TOKENS[1])
            if prompt:
                numbers = tuple(sorted(hits.index(hit) + 1 for hit in golden))
                return self._triplet(kind, draft, cite_at_end(draft.answer, numbers), prompt, numbers)
        return TOO_LONG

    def unanswerable(self, draft: Draft) -> Triplet | str:
        """The triplet with what the search finds without the golden documents; else the reason for none.

        There is none where a passage that is found may hold the answer.
        """
        dice = random.Random(f"{self._seed}/without/{draft.question}")
        excluded = {(chunk.collection, chunk.path) for chunk in draft.golden}
        found = [hit for hit in self._found(draft.question) if (hit.chunk.collection, hit.chunk.path) not in excluded]
        hits = found[: dice.choices(PASSAGES, PASSAGE_WEIGHTS)[0]]
        if not hits:
            return NOTHING_FOUND
        if not all(lacks(hit.chunk, draft) for hit in hits):
            return ALSO_HELD
        budget = dice.randint(*BUDGET_TOKENS)
        for count in range(len(hits), 0, -1):
            if prompt := self._build(draft.question, hits[:count], budget if count > 1 else BUDGET_TOKENS[1]):
                return self._triplet(UNANSWERABLE, draft, dice.choice(REFUSALS), prompt, ())
        return TOO_LONG

    def refused(self, question: str) -> Triplet | str:
        """The triplet of a question that nothing answers, with what is found for it."""
        dice = random.Random(f"{self._seed}/refused/{question}")
        found = self._found(question)[: dice.choices(PASSAGES, PASSAGE_WEIGHTS)[0]]
        budget = dice.randint(*BUDGET_TOKENS)
        for count in range(len(found), 0, -1):
            if prompt := self._build(question, found[:count], budget if count > 1 else BUDGET_TOKENS[1]):
                draft = Draft(question, "", tuple(hit.chunk for hit in prompt.hits))
                return self._triplet(UNANSWERABLE, draft, dice.choice(REFUSALS), prompt, ())
        return TOO_LONG if found else NOTHING_FOUND

    # A maker lives as long as one command; the same question is asked with and without its passage.
    @lru_cache(maxsize=100_000)  # noqa: B019
    def _found(self, question: str) -> tuple[Hit, ...]:
        return tuple(islice(self._retriever.rank(question), CANDIDATES))

    def _build(self, question: str, hits: Sequence[Hit], budget_tokens: int) -> Prompt | None:
        """The prompt, if all hits are whole in it."""
        prompt = build_prompt(question, hits, self._counter.count, budget_tokens, self._counter.special_tokens)
        return prompt if len(prompt.hits) == len(hits) and CUT_MARK not in prompt.user else None

    def _triplet(self, kind: str, draft: Draft, answer: str, prompt: Prompt, golden: tuple[int, ...]) -> Triplet:
        documents = dict.fromkeys(f"{chunk.collection}/{chunk.path}" for chunk in draft.golden)
        licences = dict.fromkeys(chunk.licence for chunk in draft.golden)
        return Triplet(
            kind,
            draft.question,
            answer,
            prompt.system,
            prompt.user,
            ", ".join(documents),
            " AND ".join(licences),
            draft.origin,
            self._counter.count(prompt.user),
            golden,
        )


def names_in(text: str) -> frozenset[str]:
    """The exact names in a text (commands, options, variables, message numbers), in lower case."""
    return frozenset(token.lower() for token in find_tokens(text) if is_identifier(token))


def held_share(answer: str, chunks: Iterable[Chunk]) -> float:
    """The share of an answer's content terms that the chunks and their headings hold together."""
    terms = content_terms(answer)
    held = {term for chunk in chunks for term in tokenize(searchable_text(chunk))}
    return len(terms & held) / len(terms) if terms else 0.0


def _holds(answer: str, chunks: Sequence[Chunk]) -> bool:
    tokens = {token.lower() for chunk in chunks for token in find_tokens(searchable_text(chunk))}
    return names_in(answer) <= tokens and held_share(answer, chunks) >= LEAST_HELD


def _is_distractor(chunk: Chunk, draft: Draft) -> bool:
    """Whether a found passage is not golden, repeats no golden one, and does not hold the answer."""
    if any(chunk.chunk_id == golden.chunk_id or chunk.text == golden.text for golden in draft.golden):
        return False
    names = names_in(draft.answer)
    tokens = {token.lower() for token in find_tokens(searchable_text(chunk))}
    return not (names <= tokens and held_share(draft.answer, [chunk]) >= ALSO_ANSWERS)


def lacks(chunk: Chunk, draft: Draft) -> bool:
    """Whether a passage does not hold the answer.

    Either it lacks a name of the question and holds less than `LACKS` of what the answer adds to the question. Or the
    question has no name, or asks for an option of one, and the passage holds none of the names that the answer adds and
    less than half of `LACKS` of what it adds.
    """
    held = frozenset(tokenize(searchable_text(chunk)))
    added = content_terms(draft.answer) - content_terms(draft.question)
    share = len(added & held) / len(added) if added else 1.0
    asked = names_in(draft.question)
    if asked - held:
        return share < LACKS
    wanted = names_in(draft.answer) - asked
    asks_for_another = not asked or bool(wanted and _ASKS_FOR_NAME.match(draft.question))
    return share < LACKS / 2 and not wanted & held and asks_for_another
