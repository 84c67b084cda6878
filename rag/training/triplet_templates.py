"""Questions that a passage answers, with answers in its own words: from headings, sentences, lists, tables, synopses.

It searches nothing and builds no prompt (`triplets` does). It asks what people ask of a manual: what something is or
does, how to do something, what happens under a condition, and what `triplet_tables` asks.

    drafts = drafts_of_chunks(chunks, seed=0)
    drafts[0].question, drafts[0].answer
    # "What happens if the bound is not met?", "If the bound is not met, the run stops."
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rag.blocks import Block
from rag.documents import Chunk
from rag.formats.markdown import parse_markdown
from rag.reference.synopses import COMMAND, NAME
from rag.reference.tables import clean
from rag.training.triplet_phrases import (
    as_predicate,
    as_question_part,
    first_sentences,
    infinitive,
    lower_first,
    split_sentences,
    with_stop,
)
from rag.training.triplet_tables import (
    LEAST_WORDS,
    Pair,
    Usages,
    ask_synopsis,
    ask_table,
    ask_which,
    read_synopsis,
    read_usages,
    say_noun,
)

PROSE = (".md", ".rst", ".html", ".htm", ".txt", ".docx", ".pdf", ".1", ".n", ".man")  # source code is asked nothing
# Documents about a project's people, and forms to copy: nobody asks a chip designers' assistant about them.
_NOT_ASKED = re.compile(
    r"code_of_conduct|contributing|gettinginvolved|changelog|licen[sc]e|readmeformat", re.IGNORECASE
)
MOST_PER_CHUNK = 8  # so that a long table does not outweigh whole articles
MOST_WORDS = 130  # of an answer
HEADING_WORDS = (45, 90, 120)  # of the answer to a heading, drawn: short answers, and some longer ones

_OWNER = re.compile(r"^For `([^`]+)`:$")  # how the chunker says whose options a table has
_NOUNS = "command|pass|option|flag|cell|variable|attribute|parameter|module|switch|script|argument|function|target"
_SUBJECT = re.compile(
    # Not what leads up to another subject.
    r"^(?!(?:If|When|While|Unless|Until|After|Before|Because|Since|Once|Where|Although|As|Not|In|On|With|Without)\b)"
    rf"(?:(?:The|A|An) )?(?:[\w-]+ ){{0,2}}?`(?P<name>[^`\s]+)`(?: (?P<noun>{_NOUNS}))? (?P<verb>[a-z]+) (?P<rest>.+)$"
)
_USE = re.compile(
    r"^(?:Use|Run|Call|Set) (?:the )?`[^`]+`(?: (?:command|pass|option|flag|variable))? to (?P<task>[a-z]+ .+?)\.$"
)
_TO = re.compile(r"^To (?P<task>[a-z]+ [^,:]+), (?:use|run|call|set|execute|add|pass|enable) .*`[^`]+`.*\.$")
_DEFINED = re.compile(r"^(?P<article>An?) (?P<what>(?:[\w/-]+ ){0,3}?[\w/-]+) (?:is|are) (?:an?|the|one|any) .+\.$")
_MESSAGE = re.compile(r"\b[A-Z]{3}-\d{4}\b")
_CONDITION = re.compile(r"^(?P<word>If|When) (?P<condition>(?:`[^`]*`|\([^()]*\)|[^,`(])+), (?:then )?[^,].+\.$")
# Words that point out of the sentence.
_LEANS = re.compile(r"\b(?:this|these|those|such|it|they|them|above|below|following|previous|you|we)\b", re.IGNORECASE)
_ANAPHOR = re.compile(
    r"^(?:This|That|These|Those|It|Its|They|Their|Such|Here|Then|Also|Both|However|Otherwise|Similarly|Finally|In "
    r"this|Next|Now|We|I|You|But|So)\b"
)
_EMPTY_HEADINGS = frozenset(
    """
    options option commands command overview introduction example examples notes note limitations license authors
    reference references usage arguments parameters tests description synopsis pitfalls faqs background general
    contents details summary prerequisites
    """.split()
) | {"see also", "useful developer commands", "example scripts", "regression tests"}
_PITFALLS = ("pitfalls", "common mistakes", "common pitfalls")
# Text that reads badly without the rest of the document: links, references elsewhere, markup that was not understood.
_RUBBISH = re.compile(
    r"https?://|\b(?:found|available|see|click|shown|listed|described) (?:here|above)\b|\bhere\.?$|\bas "
    r"follows\b|\bfollowing\b|\bbelow\b"
    r"|\bfigures?\b|\b(?:e\.g|i\.e)\.?$|<img|\{(?:ref|doc|cite)\}|TODO|\|\s*\||%s\b|\)\("
    r"|\bdeprecated\b|Developer Option|\brefer to\b|\?$|\. `\w+`\.$|^- `[^`]+`: \W*$",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Draft:
    """A question, its answer without a citation, and the chunks that hold it together: before there is a prompt.

    `origin` is the file that question and answer are from, None where they were made from the chunk.
    """

    question: str
    answer: str
    golden: tuple[Chunk, ...]
    origin: str | None = None


def drafts_of_chunks(chunks: Sequence[Chunk], seed: int = 0) -> list[Draft]:
    """At most `MOST_PER_CHUNK` drafts of each chunk of prose, in the chunks' order, no question twice.

    Only the seed and the chunk decide the draws.
    """
    usages = usages_of_documents(chunks)
    drafts: dict[str, Draft] = {}
    headings = {(chunk.collection, chunk.path, chunk.position): chunk.heading_path for chunk in chunks}
    for chunk in chunks:
        if is_asked(chunk.path):
            dice = random.Random(f"{seed}/{chunk.chunk_id}")
            begins = headings.get((chunk.collection, chunk.path, chunk.position - 1)) != chunk.heading_path
            pairs = [
                pair
                for pair in _pairs_of(chunk, begins, usages[chunk.collection, chunk.path], dice)
                if reads_well(*pair)
            ]
            for question, answer in dice.sample(pairs, min(MOST_PER_CHUNK, len(pairs))):
                drafts.setdefault(question.casefold(), Draft(question, answer, (chunk,)))
    return list(drafts.values())


def is_asked(path: str) -> bool:
    """Whether an engineer asks something of a document: prose, and not about a project's people."""
    return path.lower().endswith(PROSE) and not _NOT_ASKED.search(path)


def usages_of_documents(chunks: Sequence[Chunk]) -> dict[tuple[str, str], Usages]:
    """How each document calls its commands: a table of options may follow a script of several commands."""
    code: dict[tuple[str, str], list[str]] = {}
    for chunk in chunks:
        fences = code.setdefault((chunk.collection, chunk.path), [])
        if chunk.path.lower().endswith(PROSE):
            fences += [block.text for block in parse_markdown(chunk.text).blocks if block.kind == "code"]
    return {document: read_usages(fences) for document, fences in code.items()}


def reads_well(question: str, answer: str, most_words: int = MOST_WORDS) -> bool:
    """Whether both read as people write, and the answer has at most that many words."""
    words = len(answer.split())
    return (
        LEAST_WORDS < words <= most_words
        and not _RUBBISH.search(question.rstrip("?"))
        and not _RUBBISH.search(answer)
        and question.count("`") % 2 == 0
        and answer.count("`") % 2 == 0
    )


def _pairs_of(chunk: Chunk, begins: bool, usages: Usages, dice: random.Random) -> Iterator[Pair]:
    """All questions and answers that the chunk gives. `begins`: it is the first under its heading."""
    blocks = parse_markdown(chunk.text).blocks
    owner = next((heading for heading in reversed(chunk.heading_path) if COMMAND.fullmatch(heading)), None)

    for number, block in enumerate(blocks):
        before = blocks[number - 1] if number else None
        if block.kind == "prose" and (named := _OWNER.match(block.text.strip())):
            owner = named[1]
        elif block.kind == "code":
            if synopsis := read_synopsis(block.text):
                owner = synopsis[0].split()[0]
                purpose = (
                    before.text
                    if before and before.kind == "prose" and before.heading_path == block.heading_path
                    else ""
                )
                yield from ask_synopsis(owner, synopsis, purpose, dice)
        elif block.kind == "table":
            yield from ask_table(block, owner, usages, dice)
        elif block.kind == "list":
            yield from _ask_list(block, chunk, dice)
        else:
            headings = (*chunk.heading_path, *block.heading_path)
            heads = begins if number == 0 else bool(before and before.heading_path != block.heading_path)
            if heads and headings:
                yield from _ask_heading(headings[-1], chunk.title, clean(block.text), dice)
            for sentence in split_sentences(clean(block.text)):
                yield from _ask_sentence(sentence, dice)


def _ask_heading(heading: str, title: str, text: str, dice: random.Random) -> Iterator[Pair]:
    """What stands first under a heading, asked for by the heading."""
    answer = first_sentences(text, dice.choice(HEADING_WORDS))
    plain = heading.strip(" :`").replace("`", "")

    if (
        plain.lower() in _EMPTY_HEADINGS
        or answer.rstrip(".").endswith(":")
        or _ANAPHOR.match(answer)
        or len(answer.split()) < 6
        or plain == title
        or "#" in plain
    ):
        return
    if re.match(r"To [^,]+\.$", answer):
        return  # what should follow is a code fence

    if plain.endswith("?"):
        question = plain
    elif how := re.match(r"(?:how to|howto) (.+)", plain, re.IGNORECASE):
        question = f"How do I {lower_first(how[1])}?"
    elif re.match(r"(?:why|what|when|where|which|how) ", plain, re.IGNORECASE):
        question = dice.choice((f"{title}: {lower_first(plain)}?", f"Explain {lower_first(plain)} ({title})."))
    else:
        topic = lower_first(plain)
        question = dice.choice(
            (
                f"{title}: what about {topic}?",
                f"Explain {topic} ({title}).",
                f"What should I know about {topic} ({title})?",
                f"{title} {topic}",
                f"Tell me about {topic} in the context of {lower_first(title)}.",
            )
        )
    yield question, answer


def _ask_sentence(sentence: str, dice: random.Random) -> Iterator[Pair]:
    """Asks for what one sentence of prose says, if it stands for itself."""
    if not 5 <= len(sentence.split()) <= 45 or not sentence.endswith(".") or _ANAPHOR.match(sentence):
        return

    if message := _MESSAGE.search(sentence):
        yield (
            dice.choice(
                (f"What does {message[0]} mean?", f"I get {message[0]}. What is it?", f"Explain {message[0]}.")
            ),
            sentence,
        )
    elif found := _USE.match(sentence) or _TO.match(sentence):
        task = as_question_part(found["task"])
        if infinitive(task.split()[0]):
            yield (
                dice.choice(
                    (
                        f"How do I {task}?",
                        f"How can I {task}?",
                        f"What should I use to {task}?",
                        f"I want to {task}. How?",
                    )
                ),
                sentence,
            )
    elif found := _CONDITION.match(sentence):
        if not _LEANS.search(found["condition"]) and len(found["condition"].split()) > 2:
            yield f"What happens {found['word'].lower()} {found['condition']}?", sentence
    elif found := _DEFINED.match(sentence):
        what = f"{found['article'].lower()} {found['what']}"
        yield dice.choice((f"What is {what}?", f"Define {found['what']}.", f"What is meant by {what}?")), sentence
    elif (found := _SUBJECT.match(sentence)) and NAME.fullmatch(found["name"]):
        yield from _ask_subject(found, sentence, dice)


def _ask_subject(found: re.Match[str], sentence: str, dice: random.Random) -> Iterator[Pair]:
    """A sentence that begins with a name: what it is, or what it does and which one does that."""
    name, noun, verb = found["name"], found["noun"], found["verb"]
    if verb == "is" and re.match(r"(?:an?|the) ", found["rest"]):
        yield dice.choice((f"What is `{name}`?", f"What is {name}?", f"Explain `{name}`.")), sentence
    elif infinitive(verb) and verb != infinitive(verb):
        shown = f"the `{name}` {noun}" if noun else f"`{name}`"
        yield dice.choice((f"What does {shown} do?", f"What is {shown} for?", f"Explain {shown}.")), sentence
        if noun in ("command", "pass", "option", "cell", "variable", "attribute", "flag"):
            yield from ask_which(noun, name, "", f"{verb} {found['rest']}", sentence, dice)


def _ask_list(block: Block, chunk: Chunk, dice: random.Random) -> Iterator[Pair]:
    """Items that say what a name is; and pitfalls."""
    headings = (*chunk.heading_path, *block.heading_path)
    for item in re.split(r"\n(?=(?:[-*+]|\d+\.)\s)", block.text.strip()):
        # Without the list inside it
        text = clean(re.split(r"\n\s+(?:[-*+]|\d+\.)\s", re.sub(r"^(?:[-*+]|\d+\.)\s+", "", item))[0])

        named = re.match(r"`(?P<name>[^`\s]+)`(?::| -| –) (?P<description>.+)$", text)
        if named and len(named["description"].split()) >= LEAST_WORDS and NAME.fullmatch(named["name"]):
            sentences = first_sentences(named["description"]) or with_stop(named["description"])
            predicate = as_predicate(sentences)
            answer = f"`{named['name']}` {predicate}" if predicate else say_noun(named["name"], sentences)
            yield (
                dice.choice(
                    (
                        f"What is `{named['name']}`?",
                        f"What is `{named['name']}` for?",
                        f"{chunk.title}: {named['name']}",
                    )
                ),
                with_stop(answer),
            )
        else:
            for sentence in split_sentences(text)[:1]:
                yield from _ask_sentence(sentence, dice)

        if headings and headings[-1].lower() in _PITFALLS and len(text.split()) > LEAST_WORDS:
            title = lower_first(chunk.title)
            yield (
                dice.choice((f"Name a pitfall of {title}.", f"What is a common mistake with {title}?")),
                first_sentences(text),
            )
