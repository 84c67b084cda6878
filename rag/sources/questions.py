"""Files of evaluation questions and of ready-made chunks: read, checked, and brought together.

Questions are JSON lines, one question each, in one of three forms; a chunk file is ORD-QA's. It searches nothing.

    ids of chunks, as in ORD-QA:
    {"id": 2, "type": "functionality", "question": "...", "reference": ["global_routing_8"], "answer": "..."}
    sections:
    {"question": "...", "kind": "name", "answerable": true,
     "references": [{"collection": "yosys", "path": "passes/opt.rst", "heading": "Options"}]}
    documents:
    {"question": "...", "answerable": true, "expected": [["handbook", "hold-fixing.md"]]}

`"answers": ["words", ...]` beside any of them makes it strict: of the passages only those count that hold one of these
texts, whatever its case, blanks, emphasis and kind of quotation marks.

    documents = read_chunks(Path("openroad_documentation.json"))  # one for each chunk
    questions = read_questions(Path("dev.jsonl"))
    wanted = find_wanted(questions, index.chunks)
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rag.documents import Chunk, Document, describe_place
from rag.errors import ChunksUnusable, QuestionsUnusable, RagError, ReferenceUnknown
from rag.formats.parser import parse_document
from rag.sources.named import NOT_STATED

READY_MADE = "ready-made"  # the collection of chunks that were not cut by us
_SUFFIX = ".md"  # ready-made chunks are Markdown
ANSWERABLE, UNANSWERABLE = "answerable", "unanswerable"  # kinds of questions whose row names none
_HEADING_LINE = re.compile(r"^[ \t]*#{1,6}[ \t]+(.+?)[ \t]*#*$", re.MULTILINE)
_PLAIN_QUOTES = str.maketrans("‘’“”", "''\"\"")
_LEADING_HEADING = re.compile(r"\s*#{1,6}[ \t]+(\S[^\n]*)(?:\n|\Z)")


@dataclass(frozen=True, slots=True)
class WantedPassage:
    """A passage that a question asks for: any chunk of a document or, with a heading, of one of its sections.

    A chunk belongs to a section that is one of its headings, its title, or a heading line in its text. Where there are
    `answers`, it must hold one of them.
    """

    collection: str
    path: str
    heading: str = ""
    answers: tuple[str, ...] = ()

    def surrounds(self, chunk: Chunk) -> bool:
        """Whether the chunk is a part of the document or section, whatever it answers."""
        if (chunk.collection, chunk.path) != (self.collection, self.path):
            return False
        headings = (chunk.title, *chunk.heading_path, *_HEADING_LINE.findall(chunk.text))
        return not self.heading or _plain(self.heading) in {_plain(heading) for heading in headings}

    def matches(self, chunk: Chunk) -> bool:
        """Whether the chunk is (a part of) this passage, and answers."""
        return self.surrounds(chunk) and (
            not self.answers or holds_answer("\n".join((*chunk.heading_path, chunk.text)), self.answers)
        )

    def __str__(self) -> str:
        if self.collection == READY_MADE:
            return self.path.removesuffix(_SUFFIX)
        return f"{self.collection}/{self.path}" + (f" # {self.heading}" if self.heading else "")


@dataclass(frozen=True, slots=True)
class Question:
    """One question.

    Each item of `wanted` is a passage that the question asks for, given as references of which one suffices. `answer`
    is the reference answer, "" where the file gives none.
    """

    question_id: str
    text: str
    kind: str
    answerable: bool
    wanted: tuple[tuple[WantedPassage, ...], ...]
    answer: str = ""


def _plain(text: str) -> str:
    """A text without marks of emphasis and code, in lower case, with single blanks and plain quotation marks."""
    return " ".join(re.sub(r"[`*]", "", text.translate(_PLAIN_QUOTES)).split()).casefold()


def holds_answer(text: str, answers: Iterable[str]) -> bool:
    """Whether a text holds one of the answers."""
    plain = _plain(text)
    return any(_plain(answer) in plain for answer in answers)


def read_questions(path: Path) -> list[Question]:
    """The questions of a JSONL file, in order; empty lines are skipped.

    Raises QuestionsUnusable: the file cannot be read or has bad lines; the message lists every one.
    """
    questions: list[Question] = []
    problems: list[str] = []
    for number, line in enumerate(_read_text(path, QuestionsUnusable).split("\n"), start=1):
        if not line.strip():
            continue
        try:
            questions.append(_parse_question(json.loads(line), number))
        except json.JSONDecodeError as error:
            problems.append(f"line {number} is not JSON ({error.msg})")
        except ValueError as error:
            problems.append(f"line {number} {error}")
    if problems:
        raise QuestionsUnusable(f"{path}: {'; '.join(problems)}: mend or remove these lines")
    if not questions:
        raise QuestionsUnusable(f"{path} holds no question: give a file with one JSON object per line")
    return questions


def _parse_question(row: Any, number: int) -> Question:
    """A row as a Question.

    Raises ValueError: the row is bad; the message follows a "line 7".
    """
    if not isinstance(row, dict):
        raise ValueError("is not a JSON object")
    text = row.get("question")
    if not isinstance(text, str) or not any(character.isalnum() for character in text):
        raise ValueError('has no "question" with words in it')
    answers = row.get("answers", [])
    if not isinstance(answers, list) or not all(isinstance(words, str) and _plain(words) for words in answers):
        raise ValueError('has "answers" that is not a list of texts')
    references = tuple(
        dict.fromkeys(replace(reference, answers=tuple(answers)) for reference in _parse_references(row))
    )
    answerable = row.get("answerable", bool(references))
    if answerable and not references:
        raise ValueError('is answerable, but names no passage ("reference", "references" or "expected")')
    if references and not answerable:
        raise ValueError("is not answerable, but names passages")
    kind = str(row.get("kind") or row.get("type") or (ANSWERABLE if answerable else UNANSWERABLE))
    wanted = (references,) if references and row.get("any_of") else tuple((reference,) for reference in references)
    answer = row.get("answer", "")
    if not isinstance(answer, str):
        raise ValueError('has an "answer" that is not text')
    return Question(str(row.get("id", number)), text.strip(), kind, bool(answerable), wanted, _unescape(answer).strip())


def _unescape(text: str) -> str:
    """A text that was escaped twice, as ORD-QA's answers are, with its line breaks, tabs and quotes restored.

    Such a text has no real line break.
    """
    if "\n" in text.strip():
        return text
    return text.replace("\\n", "\n").replace("\\t", "\t").replace('\\"', '"')


def _parse_references(row: dict[str, Any]) -> Iterable[WantedPassage]:
    for form, parse in (("reference", _parse_id), ("references", _parse_place), ("expected", _parse_list)):
        if form in row:
            if not isinstance(row[form], list):
                raise ValueError(f'has "{form}" that is not a list')
            return [parse(item) for item in row[form]]
    return []


def _parse_id(item: Any) -> WantedPassage:
    if not isinstance(item, str) or not item:
        raise ValueError(f'has {item!r} in "reference", which is not an id of a chunk')
    return refer_to_chunk(item)


def _parse_place(item: Any) -> WantedPassage:
    names = ("collection", "path", "heading")
    # How the words begin that answer: rag.training.scoring_fit reads it
    is_place = isinstance(item, dict) and item.keys() <= {*names, "begins"}
    values: list[Any] = [item.get(name) or "" for name in names] if is_place else []
    if not values or not all(isinstance(value, str) for value in values) or not all(values[:2]):
        raise ValueError(
            f'has {item!r} in "references", which is not an object of collection, path and perhaps heading'
        )
    collection, path, heading = values
    return WantedPassage(collection, path, heading)


def _parse_list(item: Any) -> WantedPassage:
    if (
        not isinstance(item, list)
        or len(item) not in (2, 3)
        or not all(isinstance(value, str) and value for value in item)
    ):
        raise ValueError(f'has {item!r} in "expected", which is not a list of collection, path and perhaps heading')
    return WantedPassage(*item)


def find_wanted(questions: Sequence[Question], chunks: Sequence[Chunk]) -> list[list[frozenset[str]]]:
    """For each question and each passage it wants, the ids of the chunks that are (part of) that passage.

    There are none where every chunk of the place lacks the answer: it is cut in two, and cannot be found.

    Raises ReferenceUnknown: no chunk is part of some references; the message lists them all.
    """
    references = {reference for question in questions for group in question.wanted for reference in group}
    places = {(reference.collection, reference.path) for reference in references}
    documents: dict[tuple[str, str], list[Chunk]] = {place: [] for place in places}
    for chunk in chunks:  # read once: an index unpacks them
        if (place := (chunk.collection, chunk.path)) in places:
            documents[place].append(chunk)

    parts = {
        reference: [chunk for chunk in documents[reference.collection, reference.path] if reference.surrounds(chunk)]
        for reference in references
    }
    ids = {
        reference: frozenset(chunk.chunk_id for chunk in found if reference.matches(chunk))
        for reference, found in parts.items()
    }
    unknown = {str(reference) for reference, found in parts.items() if not found}
    if unknown:
        raise ReferenceUnknown(
            f"the questions refer to passages that are not there: {', '.join(sorted(unknown))}: mend the questions, or "
            "name another corpus"
        )
    return [
        [frozenset().union(*(ids[reference] for reference in group)) for group in question.wanted]
        for question in questions
    ]


def refer_to_chunk(chunk_id: str) -> WantedPassage:
    """The reference to a ready-made chunk."""
    return WantedPassage(READY_MADE, chunk_id + _SUFFIX)


def read_chunks(path: Path) -> list[Document]:
    """The chunks of a file of ORD-QA's form, a list of {"source", "knowledge": [{"id", "content"}]}.

    Each becomes a document in the collection READY_MADE, whose path is the chunk's id. Its title is its place: the
    source's name, split into words, and the headings that the content opens with. The rest is the text, without a first
    line that only repeats the id.

    Raises ChunksUnusable: the file cannot be read, or does not have this form.
    """
    try:
        sources = json.loads(_read_text(path, ChunksUnusable))
    except json.JSONDecodeError as error:
        raise ChunksUnusable(f"{path} is not JSON ({error}): give a file of chunks in ORD-QA's form") from None

    try:
        documents = [
            _make_document(source["source"], item["id"], item["content"])
            for source in sources
            for item in source["knowledge"]
        ]
    except (TypeError, KeyError, AttributeError) as error:
        form = '[{"source": ..., "knowledge": [{"id": ..., "content": ...}]}]'
        raise ChunksUnusable(
            f"{path} is not of the form {form} ({error!r}): give a file of chunks in ORD-QA's form"
        ) from None

    if len({document.path for document in documents}) < len(documents):
        raise ChunksUnusable(f"{path} gives one id to several chunks: give each its own")
    if not documents:
        raise ChunksUnusable(f"{path} holds no chunk: give a file of chunks in ORD-QA's form")
    return documents


def _make_document(source: str, chunk_id: str, content: str) -> Document:
    text = content.removeprefix(f"id:{chunk_id}\n").strip()
    headings: list[str] = []
    end = 0
    while match := _LEADING_HEADING.match(text, end):
        headings.append(match.group(1).strip())
        end = match.end()
    title = describe_place(re.sub(r"[_-]+", " ", source).strip(), tuple(headings))
    return parse_document(READY_MADE, chunk_id + _SUFFIX, title, text[end:].strip() or text, None, NOT_STATED)


def _read_text(path: Path, unusable: type[RagError]) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise unusable(f"{path} cannot be read ({error.strerror or error}): name a file that is there") from None
    except UnicodeDecodeError:
        raise unusable(f"{path} is not UTF-8 text: name another file") from None
