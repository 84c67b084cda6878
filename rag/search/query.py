"""The retrieval query for the last turn of a conversation. Rules on words; no model, no index.

A follow-up such as "and for hold?" names its subject only in the turns before it, so it is searched together with them.
A question that stands by itself is searched as it is, since old turns would pull it back to the old subject.

    retrieval_query(["How do I fix setup violations?", "and for hold?"])  # both, joined by a space
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import islice

from rag.index.bm25 import find_tokens, is_identifier
from rag.search.eda_tools import named_eda_tools, without_eda_tools

MAX_TURNS_JOINED = 4  # the last turn and at most three that it leans on: more would drown it
MAX_WORDS_READ = 200  # whether a turn leans on earlier ones shows at its start; a pasted log must not cost time
# Of a turn that is searched; an embedder reads the first thousand or two, and a pasted log is not a question
MAX_TURN_CHARACTERS = 4000
TURN_END_CHARACTERS = 1000  # of these at the end, where the question may stand behind what was pasted
TURNS_SEARCHED = 50  # turns of a person; no turn leans on one further back
MAX_SUBJECTS = 3  # names of an answer: more would drown the question
MAX_ANSWER_CHARACTERS = 8000  # of an answer that is looked through for names
MAX_OWN_WORDS = 2  # a fragment ("hold too?", "In OpenROAD?") has at most so many words of its own

_WORD = re.compile(r"[\w$][\w$'-]*")  # of any script
# A turn of these words alone greets, thanks, or agrees.
_SMALL_TALK = frozenset(
    """
    hi hello hey hiya howdy dear good morning afternoon evening day thanks thank thx ty cheers you u very so much a
    lot many ok okay k great nice cool perfect awesome excellent fine alright bye goodbye see later yes no yep yeah
    nope sure please wow there all again got it i that's thats works helpful was that is for the help and your
    everyone team welcome well done how are today i'm
    """.split()
)
# Of the words above, these make a turn small talk; the others only fill it ("is it", "how are" alone are not
# greetings).
_SMALL_TALK_CORE = frozenset(
    """
    hi hello hey hiya howdy morning afternoon evening thanks thank thx ty cheers ok okay k great nice cool perfect
    awesome excellent fine alright bye goodbye yes no yep yeah nope sure please wow helpful welcome later good done
    you got works
    """.split()
)
# Words without a subject of their own: what is left of a turn after these is what it asks about.
_FUNCTION_WORDS = frozenset(
    """
    a an the and or but so then also too well just only even still again instead else please is are was were be been
    am do does did doing has have had can could should would will may might must shall not no yes ok okay don't
    doesn't isn't can't dont doesnt isnt cant what what's whats which who when where why how i me my we us our you
    your it its it's they them their this that that's these those one ones there here some any all both each more
    less much many other another same in on at to of for from with without by as about into than if because use
    using used mean means explain tell show give say example examples detail details work works happen happens fix
    need want get make know sure really exactly elaborate further pls plz
    """.split()
)
# Words that name a part of something unnamed: "which command?", "the default?" lean on earlier turns.
_PART_WORDS = frozenset(
    """
    option options command commands default defaults value values syntax unit units argument arguments parameter
    parameters flag flags switch switches setting settings range name names tcl code script snippet list difference
    reason reasons cause causes alternative alternatives step steps purpose
    """.split()
)
# Words that ask for another form of the last answer. A turn of only these (and function words) has nothing to search
# for.
_TASK_WORDS = frozenset(
    """
    continue go proceed keep going finish summarize summarise summary short shorter shorten long longer brief briefly
    briefer concise simple simpler simply simplify rephrase reword rewrite repeat translate translation english german
    french spanish italian portuguese dutch polish chinese japanese korean hindi understand unclear clear clearer
    clarify specific specifically precise detailed elaborate expand bullet bullets points sentence sentences words
    paragraph table tldr eli5 answer response reply format
    """.split()
)
_GREETING = r"hi|hello(?! world)|hey|hiya|howdy|thanks?|thx|ty|cheers|ok|okay|good (?:morning|afternoon|evening|day)"
_AGREEMENT = r"great|nice|cool|perfect|awesome|excellent|alright|fine|yes|yep|yeah|no|nope|sure|wow|please"
# Greeting, thanks and agreement before the question. A word of agreement counts only where a sign or a connective ends
# it: "no paths found".
_GREETING_END = r"(?: (?:there|all|everyone|team|you|so|very|much|a lot|again))*(?![\w'-])"
_AGREEMENT_END = r"(?=\s*[,!;:]|\.\s|\s+(?:and|but|so|now)\b)"
_SMALL_TALK_START = re.compile(
    rf"(?:(?:(?:{_GREETING}){_GREETING_END}|(?:{_AGREEMENT}){_AGREEMENT_END})(?:[\s,!;:]|\.(?=\s))*)+",
    re.IGNORECASE,
)
_QUESTION_FORM = re.compile(
    r"(?:what|which|who|whose|how|why|when|where|is|are|was|were|do|does|did|can|could|should|would|will|has|"
    r"have|explain|describe|define|tell|give|show)\b",
    re.IGNORECASE,
)
_LEANING_START = re.compile(
    r"(?:and|but|or|so|then|also|now|why|how come|what about|how about|what if|what else|anything "
    r"else|same|likewise|instead|otherwise)\b",
    re.IGNORECASE,
)
# "it" that stands for nothing: "is it possible to ...", "how long does it take to ..."
_EMPTY_IT = re.compile(
    r"\b(?:is|was|would|does|will|can)\s+it\s+(?:possible|better|best|necessary|safe|ok|okay|allowed|common|"
    r"good|bad|normal|true|take|make\s+sense|matter)\b"
    r"|\bit\s+is\s+(?:possible|better|necessary|safe|allowed|true)\b",
    re.IGNORECASE,
)
_POINTING = re.compile(r"\b(?:it|its|they|them|their|these|those|this|thats?)\b", re.IGNORECASE)
_POINTING_END = re.compile(r"\b(?:there|too|as well|instead)\s*[?.!]*$", re.IGNORECASE)
# "are my DPI imports called in parallel then?": of what was said
_CONCLUDING_END = re.compile(r"\bthen\s*[?.!]*$", re.IGNORECASE)
# "and a waveform dump instead, for the scan mode?": how far the words go that add to what was said
_ADDING_START = re.compile(r"(?:and|but|or|what about|how about|what if)\b[^,;?]*[,;?]\s", re.IGNORECASE)
_FIRST_QUESTION = re.compile(r"[^?]*\?(?=\s)")
_TOPIC_END = re.compile(r"[,:]\s")  # "create_ndr -via, does it want a list": its own topic
# "leave the register file out of it": the object stands in the turn itself, not in what only an earlier turn names.
_POINTING_ELSEWHERE = re.compile(
    r"\b(?:of|from|into|onto|about|without)\s+(?:it|them|those|these)\s*[?.!]*$", re.IGNORECASE
)
# "what do you recommend instead of the minimum": of what was said
_POINTING_INSTEAD = re.compile(r"\binstead of\b", re.IGNORECASE)
# "that" and "this" point back when they end the sentence or follow such a word; else "that" opens a clause ("options
# that set ...").
_THAT_POINTS = re.compile(
    r"(?:^|\b(?:do|does|did|is|was|fix|fixes|about|for|of|with|by|like|after|before|from|on|in|use|avoid|set|"
    r"run|change|explain|why|mean|see|if|to)\s+)"
    r"(?:that|this)\b|\bthats\b|\b(?:that|this)\s*[?.!]*$",
    re.IGNORECASE,
)


def has_content(text: str) -> bool:
    """False for a turn that needs no retrieval: a greeting, thanks, agreement, or only signs. "why?" has content."""
    words = [word.lower().strip("'-") for word in _WORD.findall(text)]
    if not any(character.isalnum() for character in text):
        return False
    return not (all(word in _SMALL_TALK for word in words) and any(word in _SMALL_TALK_CORE for word in words))


def shorten_turn(turn: str) -> str:
    """The turn as it is searched: of a long one its beginning and its end, cut at words where there are some."""
    if len(turn) <= MAX_TURN_CHARACTERS:
        return turn
    begin, end = turn[: MAX_TURN_CHARACTERS - TURN_END_CHARACTERS], turn[-TURN_END_CHARACTERS:]
    head = begin.rsplit(maxsplit=1)[0] if begin.split() else ""
    tail = end.split(maxsplit=1)[-1] if end.split() else ""
    return f"{head} {tail}".strip()


def strip_small_talk(turn: str) -> str:
    """The turn without greeting, thanks and agreement at its start; a turn of nothing else as it is."""
    turn = turn.strip()
    start = _SMALL_TALK_START.match(turn)
    return (turn[start.end() :] if start else turn) or turn


def asks_for_another_form(turn: str) -> bool:
    """Whether a turn only asks to go on with, shorten, translate or explain the last answer.

    Such a turn has no words to search for.
    """
    words = [word.lower() for word in _WORD.findall(_beginning(strip_small_talk(turn)))]
    return any(word in _TASK_WORDS for word in words) and all(
        word in _TASK_WORDS or word in _FUNCTION_WORDS for word in words
    )


def leans_on_earlier(turn: str) -> bool:
    """Whether a turn cannot be searched by itself.

    It leans on earlier turns when, in this order of tests on its first words,

    1. no word of its own is left without function words and names of parts ("why?", "which command?", "list the
    options"); or
    2. it starts with a connective ("and", "what about", "why", ...) and has at most three words of its own, in its
    first clause if that adds to what was said ("and a waveform dump instead, for the scan mode?"); or
    3. it ends with "there", "too" or the like, and has at most three words of its own, or with "out of it", "from
    them", "then", and has four; or
    4. it has no exact name and at most two words of its own, and is a fragment, not the form of a question ("hold?",
    "In OpenROAD?", "fit for production? and how fast?"), or asks for something "instead of" what was said; or
    5. it points back ("it", "them", "these", "fix that") before at least three words of its own have given it something
       to point to within itself.

    A turn that begins with an exact name as its topic ("create_ndr -via, does it want a list?") has that to point to.
    """
    turn = _beginning(strip_small_talk(turn))
    own = [match for match in _WORD.finditer(turn) if match.group().lower() not in _FUNCTION_WORDS | _PART_WORDS]
    if not own:
        return True
    ends = [match.end() for match in own]
    few = MAX_OWN_WORDS + 1
    if _LEANING_START.match(turn) and _count_in(_ADDING_START.match(turn), ends) <= few:
        return True
    if len(own) <= few and _POINTING_END.search(turn):
        return True
    if len(own) <= few + 1 and _POINTING_ELSEWHERE.search(turn):
        return True
    if _names_topic(turn):
        return False
    if len(own) <= few + 1 and _CONCLUDING_END.search(turn):
        return True
    is_name = any("_" in match.group() for match in own)
    is_short = _count_in(_FIRST_QUESTION.match(turn), ends) <= MAX_OWN_WORDS and not is_name
    if is_short and (not _QUESTION_FORM.match(turn) or _POINTING_INSTEAD.search(turn)):
        return True
    return _points_back(turn, ends)


def _count_in(clause: re.Match[str] | None, ends: Sequence[int]) -> int:
    """How many of the words that end there stand in a turn's first clause; all, if none does."""
    return (sum(end <= clause.end() for end in ends) if clause else 0) or len(ends)


def _names_topic(turn: str) -> bool:
    """Whether the turn begins with an exact name and goes on to ask of it: "create_ndr -via, does it want a list?"."""
    end = _TOPIC_END.search(turn)
    first = find_tokens(turn[: end.start()])[:1] if end else []
    return any(map(is_identifier, first))


def own_words(turn: str) -> list[str]:
    """The words by which a turn names its subject: no function words, no names of parts; read up to its 200th word."""
    words = [match.group() for match in _WORD.finditer(_beginning(strip_small_talk(turn)))]
    return [word for word in words if word.lower() not in _FUNCTION_WORDS | _PART_WORDS]


def _beginning(turn: str) -> str:
    """The turn up to its 200th word."""
    last = next(islice(_WORD.finditer(turn), MAX_WORDS_READ - 1, None), None)
    return turn[: last.end()] if last else turn


def _points_back(turn: str, own_ends: list[int]) -> bool:
    """Rule 5 of `leans_on_earlier`; `own_ends` are the ends of the turn's own words."""
    blanked = _EMPTY_IT.sub(lambda match: " " * len(match.group()), turn)
    limit = own_ends[2] if len(own_ends) > 2 else len(turn)  # what comes later may point into the turn itself
    pointing_that = [match.span() for match in _THAT_POINTS.finditer(blanked)]
    for pointing in _POINTING.finditer(blanked):
        if pointing.start() >= limit:
            return False
        is_clause = pointing.group().lower() in ("that", "this") and not any(
            start <= pointing.start() < end for start, end in pointing_that
        )
        if not is_clause:
            return True
    return False


def retrieval_query(user_turns: list[str]) -> str:
    """The query for the last of `user_turns` (oldest first): that turn, behind the turns it leans on, joined by spaces.

    Small talk at the start of a turn is left out. Turns without content (thanks, greetings) are passed over, and so are
    those that ask for another form of the answer ("shorter please"): the query is then that of the turn before. ""
    where there is no turn.
    """
    turns = [strip_small_talk(turn) for turn in user_turns]
    searchable = [turn for turn in turns[:-1] if has_content(turn) and not asks_for_another_form(turn)]
    if turns and not (searchable and asks_for_another_form(turns[-1])):
        searchable.append(turns[-1])
    parts = searchable[-1:]
    for turn in reversed(searchable[:-1]):
        if not leans_on_earlier(parts[0]) or len(parts) == MAX_TURNS_JOINED:
            break
        parts.insert(0, turn)
    return _join(parts)


def find_subjects(answer: str, is_known: Callable[[str], bool]) -> list[str]:
    """The exact names that an answer has most often, up to `MAX_SUBJECTS`; what follows it is about them.

    is_known: whether a passage holds a name, in lower case; others are left out.
    """
    counts = Counter(token for token in find_tokens(answer[:MAX_ANSWER_CHARACTERS]) if is_identifier(token))
    return list(islice((name for name, _ in counts.most_common() if is_known(name.lower())), MAX_SUBJECTS))


def fallback_query(user_turns: list[str]) -> str:
    """The query to try when `retrieval_query` finds nothing: the last turn behind the one before.

    It includes what that one leans on. "" where there is no turn before it, or where that query has been searched
    already.
    """
    before = [turn for turn in user_turns[:-1] if has_content(turn) and not asks_for_another_form(turn)]
    if not before or not has_content(user_turns[-1]):
        return ""
    joined = _join([retrieval_query(before), strip_small_talk(user_turns[-1])])
    return "" if asks_for_another_form(user_turns[-1]) or joined == retrieval_query(user_turns) else joined


def _join(parts: Sequence[str]) -> str:
    """The last part behind those it leans on; "" for none.

    Where it names a tool ("and in Innovus?"), it asks of that one what was asked of others: their names are left out.
    """
    *before, last = parts or ("",)
    if named_eda_tools(last):
        before = [without_eda_tools(part) for part in before]
    return " ".join(part for part in (*before, last) if part)
