"""What a turn asks: without what agents wrap around it, and without instructions about the form of the answer.

Rules on words; no model, no index. The prompt keeps all of it: only what is searched is shorter.

    find_asked("Which command writes SPEF? Reply as JSON with the key command.")  # "Which command writes SPEF?"
"""

from __future__ import annotations

import re

# Tags in which coding agents put what the person wrote, and those in which they put its surroundings
ASKED_TAGS = ("userRequest", "user_query", "user_message", "user_request", "task", "question", "query")
SURROUNDING_TAGS = (
    "environment_details environment_context environment_info workspace_info system-reminder reminderInstructions "
    "editorContext additional_data attachments context"
).split()
ENDS_LOOKED_AT = 4  # sentences at either end of a turn: further inside, nothing is an instruction
MOST_READ = 20_000  # characters of a turn
_LONGEST_SENTENCE = 400  # characters; a longer one says more than a form

_SENTENCE_END = re.compile(r"((?<=[.!?])\s+|(?<=[。？！])|\n+)")
_WORD = re.compile(r"[^\W_][\w'-]*")
_VALUES = re.compile(r"\{[^{}]*\}|\[[^\[\]]*\]|\"[^\"]*\"|`[^`]*`")
# "with the keys command and default", "with columns option, unit"
_NAMED = re.compile(r"\b(?:keys?|fields?|columns?)\b\s*:?\s+(?!only\b)(?:named |called )?.*", re.IGNORECASE | re.DOTALL)
_JSON_LINE = re.compile(r"[{}\[\]\"]|```(?:json)?\s*$|As an example, for the schema|the object \{", re.IGNORECASE)
_SCHEMA = re.compile(r"\bjson[ -]schema\b|\boutput schema\b|\bschema\b.{0,40}\bjson\b", re.IGNORECASE)

_LANGUAGES = """
    english german french spanish italian portuguese dutch polish czech russian ukrainian chinese mandarin japanese
    korean hindi arabic turkish hebrew swedish danish finnish norwegian greek hungarian romanian vietnamese thai
    deutsch englisch français anglais español inglés italiano português
""".split()
# Forms that only a program reads, and forms for people
_MACHINE_FORMS = "json yaml xml csv toml html".split()
_HUMAN_FORMS = """
    sentence sentences word words line lines paragraph paragraphs characters bullet bullets bulleted short brief briefly
    concise concisely succinct succinctly terse detail simple simply plain layman prose markdown tldr eli5 satz sätzen
    sätze kurz knapp phrase phrases frase frases brève brevemente
""".split()
_CORE = frozenset(
    [
        *(_LANGUAGES + _MACHINE_FORMS + _HUMAN_FORMS),
        *"""
        only just nothing table tables list codeblock format formatted schema preamble explanation explanations comment
        comments intro introduction cite citations citation sources source references step instruction instructions
        emoji emojis language tone query
        """.split(),
    ]
)
# In these only people want an answer
_FOR_PEOPLE = frozenset(_LANGUAGES + _HUMAN_FORMS) - {"line", "lines", "word", "words", "markdown", "plain", "short"}
# With these alone a sentence says nothing that could be searched for
_VOCABULARY = _CORE | frozenset(
    """
    a an the and or but so also then please kindly answer answers answering reply replies respond response responses
    return output outputs use using keep be make write give state limit think explain steps by at most least maximum
    minimum max under than more less fewer up to about within one two three four five six seven ten twenty fifty hundred
    it its your you my me i i'm user user's question don't do not no never any anything else without avoid include
    including add skip valid strictly strict exactly correct correctly code block fence text points point numbered item
    items key keys field fields column columns object objects array instance instances value values name names number
    numbers command commands option options that which this should must has have conforms conform to below following
    above as in with of on for is are if like links link quote quotes heading headings final result results whole full
    complete same long longer formal polite friendly professional technical non-technical beginner beginners expert
    terms level clear clearly yes true false letters only-json json-only put show present provide produce print speak
    first last before after between whatever matches matching fits exact wrapped wrap directly immediately straight tags
    antworte antworten antwort bitte auf nur als in einem zwei drei der die das eine ein und
    réponds répondez réponse en une deux uniquement responde respuesta una dos solo rispondi in
    """.split()
)
_LEADS = frozenset(
    """
    answer answers reply respond return output format use keep be make write give state limit think explain cite quote
    include add don't do no never only just in as your the it max maximum at present provide produce print show put
    avoid skip without json yaml markdown valid wrap speak strictly antworte antworten bitte nur réponds répondez
    responde rispondi here
    """.split()
)
_POLITE = frozenset("please kindly and but also then so now bitte".split())
_TAIL_START = re.compile(
    r"(?:\s*[,;(–—]\s*|\s+-{1,2}\s+|\s+)(?:(?:please|but|and)\s+)?(?=(?:in|as|with|using|no|without|at most|auf|en)\b)",
    re.IGNORECASE,
)
_LEAD_CLAUSE = re.compile(r"\s*(?:(?:in|as|using|auf|en)\s[^,:?.!\n]{2,40}|briefly|concisely|in short)\s*[,:]\s+", re.I)
_ORDER = re.compile(r"(?:please\s+)?(?:list|explain|show|give|summari[sz]e|describe|tell|compare|name|define)\b", re.I)
_FORM_CJK = re.compile(
    r"[，,、]?\s*请?用(?:[简繁][体體])?(?:中文|英文|英语|日语|一句话)(?:回答|答复|说明)?[。.！!]?"
    r"|日本語で(?:答え|回答し)て(?:ください)?。?"
)


def find_asked(turn: str) -> str:
    """What a turn asks, or the turn itself if it asks nothing else than for a form."""
    asked = strip_form(unwrap(turn))
    return asked if any(character.isalnum() for character in asked) else turn


def unwrap(turn: str) -> str:
    """What a person wrote of a turn that an agent sends; without tags of agents it is the turn."""
    for tag in ASKED_TAGS:
        inside = find_tagged(turn, tag)
        if inside and inside.strip() and _stands_alone(turn, tag):
            return inside.strip()
    for tag in SURROUNDING_TAGS:
        if tag != "context":  # which people write about, and clients use for what is theirs
            turn = _without_tagged(turn, tag)
    return turn.strip()


def find_tagged(text: str, tag: str) -> str | None:
    """The text between the first `<tag>` and its end; None if there is none."""
    start = text.find(f"<{tag}>")
    end = text.find(f"</{tag}>", start + 1) if start >= 0 else -1
    return text[start + len(tag) + 2 : end] if end > start else None


def _stands_alone(turn: str, tag: str) -> bool:
    """Whether only surroundings stand beside a tag: else it is a part of what a person or a client wrote."""
    inside = find_tagged(turn, tag) or ""
    rest = turn.replace(f"<{tag}>{inside}</{tag}>", "", 1)
    for surrounding in SURROUNDING_TAGS:
        rest = _without_tagged(rest, surrounding)
    return not rest.strip()


def _without_tagged(text: str, tag: str) -> str:
    """The text without everything between `<tag>` and `</tag>`, marks included."""
    parts, at = [], 0
    while (start := text.find(f"<{tag}>", at)) >= 0 and (end := text.find(f"</{tag}>", start)) >= 0:
        parts.append(text[at:start])
        at = end + len(tag) + 3
    return "".join([*parts, text[at:]])


def asks_for_machine_form(turn: str) -> bool:
    """Whether a turn asks for an answer that a program reads, such as JSON."""
    dropped = [piece for piece in _pieces(unwrap(turn)) if is_form(piece)] if len(turn) <= MOST_READ else []
    words = {word.lower() for piece in dropped for word in _WORD.findall(piece)}
    return bool(words.intersection(_MACHINE_FORMS))


def is_form(sentence: str) -> bool:
    """Whether a sentence says nothing else than in what form the answer should come."""
    if not sentence.strip() or len(sentence) > _LONGEST_SENTENCE:
        return False
    plain = _NAMED.sub(" keys ", _VALUES.sub(" ", sentence))
    words = [word.lower() for word in _WORD.findall(plain)]
    while words and words[0] in _POLITE:
        words.pop(0)
    if not words or words[0] not in _LEADS:
        return False
    return _is_of_form(words)


def is_about_form(text: str) -> bool:
    """Whether a text says nothing but how an answer should look, if it says anything."""
    return all(word in _VOCABULARY or word.isdigit() or word.endswith("ly") for word in _words(text))


def strip_form(turn: str) -> str:
    """The turn without sentences and clauses that only say in what form the answer should come."""
    if len(turn) > MOST_READ:
        return turn
    pieces = _SENTENCE_END.split(_FORM_CJK.sub("", turn))
    sentences = range(0, len(pieces), 2)
    has_schema = any(_SCHEMA.search(pieces[at]) for at in sentences)
    ends = {*sentences[:ENDS_LOOKED_AT], *sentences[-ENDS_LOOKED_AT:]}

    kept: list[str] = []
    for at in sentences:
        sentence, gap = pieces[at], "".join(pieces[at + 1 : at + 2])
        is_schema = has_schema and bool(_SCHEMA.search(sentence) or _JSON_LINE.match(sentence.lstrip()))
        if is_schema or (at in ends and is_form(sentence)):
            kept.append("\n" if "\n" in gap else "")
        else:
            may_say = at in ends and len(sentence) <= _LONGEST_SENTENCE
            kept += [_without_clauses(sentence) if may_say else sentence, gap]
    return "".join(kept).strip()


def _pieces(turn: str) -> list[str]:
    return _SENTENCE_END.split(turn)[::2]


def _is_of_form(words: list[str], core: frozenset[str] = _CORE) -> bool:
    """Whether all words are about a form or fill in, and one of them names it."""
    return any(word in core for word in words) and all(word in _VOCABULARY or word.isdigit() for word in words)


def _without_clauses(sentence: str) -> str:
    """A sentence without "In German: " at its start and ", in one sentence" at its end."""
    while (lead := _LEAD_CLAUSE.match(sentence)) and _is_of_form(_words(lead.group())):
        sentence = sentence[lead.end() :]
    body = sentence.rstrip(" \t?.!)")
    while (start := _tail(body)) is not None:
        mark = "?" if sentence.rstrip(" \t)").endswith("?") else ""
        body = body[:start].rstrip(" \t,;(")
        sentence = body + mark
    return sentence


def _tail(sentence: str) -> int | None:
    """Where the words about the form begin that end a sentence.

    Without a sign before them they are about the answer only where people read it, or where the sentence is an order:
    "Can OpenSTA write a report as JSON" asks for no form.
    """
    for found in _TAIL_START.finditer(sentence):
        words = _words(sentence[found.end() :])
        is_apart = not found.group().isspace() or _ORDER.match(sentence.lstrip())
        if _is_of_form(words, _CORE if is_apart else _FOR_PEOPLE):
            return found.start()
    return None


def _words(text: str) -> list[str]:
    return [word.lower() for word in _WORD.findall(_NAMED.sub(" keys ", _VALUES.sub(" ", text)))]
