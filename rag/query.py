"""The retrieval query for the last turn of a conversation. Rules on words; no model, no index.

A follow-up such as "and for hold?" names its subject only in the turns before it, so it is searched together with them; a
question that stands by itself is searched as it is, since old turns would pull it back to the old subject.

    retrieval_query(["How do I fix setup violations?", "and for hold?"])  # both, joined by a space
"""

import re

MAX_TURNS_JOINED = 4  # the last turn and at most three that it leans on: more would drown it

_WORD = re.compile(r"[\w$][\w$'-]*")  # of any script
# A turn of these words alone greets, thanks, or agrees.
_SMALL_TALK = frozenset({
    "hi", "hello", "hey", "hiya", "howdy", "dear", "good", "morning", "afternoon", "evening", "day", "thanks", "thank", "thx", "ty", "cheers",
    "you", "u", "very", "so", "much", "a", "lot", "many", "ok", "okay", "k", "great", "nice", "cool", "perfect", "awesome", "excellent", "fine",
    "alright", "bye", "goodbye", "see", "later", "yes", "no", "yep", "yeah", "nope", "sure", "please", "wow", "there", "all", "again", "got", "it",
    "i", "that's", "thats", "works", "helpful", "was", "that", "is", "for", "the", "help", "and", "your", "everyone", "team", "welcome", "well",
    "done", "how", "are", "today", "i'm",
})  # fmt: skip
# Among the words above, these make a turn small talk; the others only fill it ("is it", "how are" alone are no greeting).
_SMALL_TALK_CORE = frozenset({
    "hi", "hello", "hey", "hiya", "howdy", "morning", "afternoon", "evening", "thanks", "thank", "thx", "ty", "cheers", "ok", "okay", "k", "great",
    "nice", "cool", "perfect", "awesome", "excellent", "fine", "alright", "bye", "goodbye", "yes", "no", "yep", "yeah", "nope", "sure", "please",
    "wow", "helpful", "welcome", "later", "good", "done", "you", "got", "works",
})  # fmt: skip
# Words without a subject of their own: what is left of a turn after these is what it asks about.
_FUNCTION_WORDS = frozenset({
    "a", "an", "the", "and", "or", "but", "so", "then", "also", "too", "well", "just", "only", "even", "still", "again", "instead", "else",
    "please", "is", "are", "was", "were", "be", "been", "am", "do", "does", "did", "doing", "has", "have", "had", "can", "could", "should", "would",
    "will", "may", "might", "must", "shall", "not", "no", "yes", "ok", "okay", "don't", "doesn't", "isn't", "can't", "what", "what's", "which",
    "who", "when", "where", "why", "how", "i", "me", "my", "we", "us", "our", "you", "your", "it", "its", "it's", "they", "them", "their", "this",
    "that", "that's", "these", "those", "one", "ones", "there", "here", "some", "any", "all", "both", "each", "more", "less", "much", "many",
    "other", "another", "same", "in", "on", "at", "to", "of", "for", "from", "with", "without", "by", "as", "about", "into", "than", "if",
    "because", "use", "using", "used", "mean", "means", "explain", "tell", "show", "give", "say", "example", "examples", "detail", "details",
    "work", "works", "happen", "happens", "fix", "need", "want", "get", "make", "know", "sure", "really", "exactly", "elaborate", "further",
})  # fmt: skip
_LEANING_START = re.compile(
    r"(?:and|but|or|so|then|also|why|how come|what about|how about|what if|what else|anything else|same|likewise|instead|otherwise|for example)\b",
    re.IGNORECASE,
)
# "it" that stands for nothing: "is it possible to ...", "how long does it take to ..."
_EMPTY_IT = re.compile(
    r"\b(?:is|was|would|does|will|can)\s+it\s+(?:possible|better|best|necessary|safe|ok|okay|allowed|common|good|bad|normal|true|take|make\s+sense|matter)\b"
    r"|\bit\s+is\s+(?:possible|better|necessary|safe|allowed|true)\b",
    re.IGNORECASE,
)
_POINTING = re.compile(r"\b(?:it|its|they|them|their|these|those|this|that)\b", re.IGNORECASE)
# "that" and "this" point back when they end the sentence or follow such a word; else "that" opens a clause ("options that set ...").
_THAT_POINTS = re.compile(
    r"(?:^|\b(?:do|does|did|is|was|fix|fixes|about|for|of|with|by|like|after|before|from|on|in|use|avoid|set|run|change|explain|why|mean|see|if|to)\s+)"
    r"(?:that|this)\b|\b(?:that|this)\s*[?.!]*$",
    re.IGNORECASE,
)


def has_content(text: str) -> bool:
    """False for a turn that needs no retrieval: a greeting, thanks, agreement, or nothing but signs. "why?" has content."""
    words = [word.lower().strip("'-") for word in _WORD.findall(text)]
    if not any(character.isalnum() for character in text):
        return False
    return not (all(word in _SMALL_TALK for word in words) and any(word in _SMALL_TALK_CORE for word in words))


def leans_on_earlier(turn: str) -> bool:
    """Whether a turn cannot be searched by itself. It leans on earlier turns when, in this order of tests,

    1. no word of its own is left without function words ("why?", "can you give an example?"); or
    2. it starts with a connective ("and", "what about", "why", ...) and has at most three words of its own; or
    3. it points back ("it", "them", "these", "fix that") before at least three words of its own have given it something
       to point to within itself.
    """
    own = [match for match in _WORD.finditer(turn) if match.group().lower() not in _FUNCTION_WORDS]
    if not own:
        return True
    if _LEANING_START.match(turn.strip()) and len(own) <= 3:
        return True
    blanked = _EMPTY_IT.sub(lambda match: " " * len(match.group()), turn)
    for pointing in _POINTING.finditer(blanked):
        if pointing.group().lower() in ("that", "this") and not _points_back(blanked, pointing.start()):
            continue
        if sum(match.end() <= pointing.start() for match in own) < 3:
            return True
    return False


def _points_back(turn: str, position: int) -> bool:
    return any(match.start() <= position < match.end() for match in _THAT_POINTS.finditer(turn))


def retrieval_query(user_turns: list[str]) -> str:
    """The query for the last of `user_turns` (oldest first): that turn, behind the turns it leans on, joined by spaces.

    Turns without content (thanks, greetings) are passed over. "" where there is no turn.
    """
    if not user_turns:
        return ""
    parts = [user_turns[-1].strip()]
    for turn in reversed(user_turns[:-1]):
        if not leans_on_earlier(parts[0]) or len(parts) == MAX_TURNS_JOINED:
            break
        if has_content(turn):
            parts.insert(0, turn.strip())
    return " ".join(part for part in parts if part)
