"""A grammar for an engine's guided decoding: free prose in which every name is one of the allowed ones.

It is stricter than `rag.answering.names`, so that a text which it accepts has no unknown name. It knows no engine; the
syntax is that of xgrammar (GBNF), which vLLM takes as `"structured_outputs": {"grammar": ...}`.

    build_grammar(allowed_names(["repair_timing -hold"]), {"repair_timing": frozenset({"-hold", "-setup"})})

The grammar is an automaton: each rule is a state, and names what is read next and the state after it. No rule calls
another and returns, so an engine decides almost every token when it compiles the rules, and none while it writes; the
lookahead `NEVER` says so.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from rag.answering.names import is_name

MOST_NAMES = 2000  # a prompt of 900 tokens of passages has some 100
NEVER = r' (="\u0001")'  # nothing follows a rule: a token that goes on where a rule ends is refused at once

_WORD_NAME = re.compile(r"[\w$]+")
_BEYOND_ASCII = re.compile(r"(?<=[^\x00-\x7f])(?=[0-9A-Fa-f])")
_MESSAGE = re.compile(r"[A-Z]{2,}-[0-9]+")

# No state has invisible signs, soft and unbreakable hyphens, or look-alikes of `-` and `_`: they could disguise a name.
_MARKS = r"""[\n!"#%&'()*,:;<=>?@[\\\]^`{|}]"""
_NOT_ASCII = (
    r"[\u00a1-\u00ac\u00ae-\u200a\u2016-\u205f\u2065-\u2211\u2213-\ufefe\uff00-\uff0c\uff0e-\uff3e\uff40-\U0010ffff]"
)
_PROSE = '"" | blank | mark | "$" root | words'  # the text may end in nearly every state

# An engine tries all its tokens in each state that reads a character, up to the characters' end. So what many states
# read stands once (`blank`, `words`), and what few read stands apart.
_STATES = {
    # At the beginning, and behind a blank or a mark. `-x` is an option, `/x` a path; "-5" is a number, "- x" a list.
    "root": rf'{_PROSE} | digits | [.~] dots | [+\-] signs | "/" closed | name | option | path',
    "blank": r"[\t ] root",
    "mark": rf"{_MARKS} root | {_NOT_ASCII} root | [\u2013\u2014] signs",
    "words": "[A-Z] upper | [a-z] letter",
    "digits": "[0-9] number",
    "dots": rf'{_PROSE} | digits | [.~+\-] signs | "/" closed | name',
    "signs": r'"" | blank | mark | "$" root | digits | [.~+\-] signs | "/" closed',
    # Capitals and a number make a message number; two small letters, later a capital and a small one, make a command.
    "upper": "[A-Z] capitals | [a-z0-9] word | named",
    "capitals": '[A-Z] capitals | [a-z0-9] word | "" | blank | mark | joined | "-" dash',
    "letter": "[A-Z0-9] word | [a-z] small | named",
    "small": "[a-z0-9] small | [A-Z] camel | named",
    "camel": "[A-Z] camel | [0-9] small | named",
    "word": "[0-9A-Za-z] word | named",
    "number": "[0-9A-Za-z] number | named",
    "named": '"" | blank | mark | joined | "-" hyphen',
    # Within a run: "clock-tree", "M1-2", "and/or", "C++", "e.g", "v1.2". Any other word behind a dot makes a file name.
    "joined": '"$" closed | [/~] slash | "+" plus | "." dot',
    "dash": f'{_PROSE} | "-" dash | [./~+] closed | lettered',
    "hyphen": f'{_PROSE} | digits | "-" dash | [./~+] closed | name',
    "slash": rf"{_PROSE} | digits | [./~+\-] closed | name | option",
    "plus": rf'{_PROSE} | digits | "+" plus | [./~\-] closed | name',
    "dot": r'"" | blank | mark | "$" root | [A-GI-UW-Za-gi-uw-z] named | digits | "." dot | [/~+\-] closed | name',
    # Behind an option or a path, and where signs pile up, no letter follows.
    "optioned": '"" | blank | mark | "$" closed | "/" slash | [.~+] closed',
    "closed": r'"" | blank | mark | [$./~+\-] closed',
}


def build_grammar(allowed: frozenset[str], options_of: Mapping[str, frozenset[str]] | None = None) -> str:
    """The grammar in which every name is one of `allowed`, copied letter by letter.

    Directly behind a command of `options_of`, and behind its options there, only those of the allowed options may stand
    that it has; a command missing there may have any. A name with control characters cannot be written.

    Raises ValueError: there are more than `MOST_NAMES` names.
    """
    if len(allowed) > MOST_NAMES:
        raise ValueError(f"{len(allowed)} names are more than the {MOST_NAMES} that a grammar holds")
    names = sorted(name for name in allowed if name.isprintable() and (not name.isalnum() or is_name(name)))
    options = [name for name in names if name[0] in "-+"]
    words = [name for name in names if _MESSAGE.fullmatch(name) or (_WORD_NAME.fullmatch(name) and is_name(name))]
    paths = [name for name in names if name not in {*options, *words}]
    groups = _group(words, frozenset(options), options_of or {})
    single = [word for word in words if not any(word in commands for commands, _ in groups)]

    rules = {
        "name": f"{_any(word for word in single if word[0].isdigit())} named | lettered",
        "lettered": " | ".join(
            [
                f"{_any(word for word in single if not word[0].isdigit())} named",
                *(f"{_any(commands)} command{number}" for number, (commands, _) in enumerate(groups)),
            ]
        ),
        "option": f"{_any(options)} optioned",
        "path": f"{_any(paths)} closed",
    }
    if groups:  # behind a command and a blank: what `root` has but for options, or the command's own
        rules["aside"] = r"[\t ] beside"
        rules["beside"] = _STATES["root"].replace(" | option", "").replace("| blank", "| aside")
    for number, (_, own) in enumerate(groups):
        rules[f"command{number}"] = f'"" | aside | own{number} | mark | joined'
        rules[f"own{number}"] = f"[\\t ] {_any(own)} command{number}"
    return "".join(f"{rule} ::= ({body}){NEVER}\n" for rule, body in {**_STATES, **rules}.items())


def _group(
    words: Iterable[str], options: frozenset[str], options_of: Mapping[str, frozenset[str]]
) -> list[tuple[list[str], list[str]]]:
    """The known commands, with those of the allowed options that they have.

    Commands of the same options stand together.
    """
    groups: dict[frozenset[str], list[str]] = {}
    for word in words:
        if known := options_of.get(word):
            groups.setdefault(known & options, []).append(word)
    return [(commands, sorted(own)) for own, commands in groups.items()]


def _any(names: Iterable[str]) -> str:
    """One of the names; without names, a sign that no engine writes."""
    return f"({' | '.join(map(_quote, names)) or _quote(chr(1))})"


def _quote(name: str) -> str:
    """A name as one literal, or as several.

    After a sign beyond ASCII, xgrammar would take a hexadecimal digit for a part of that sign's number.
    """
    signs = {'"': '\\"', "\\": "\\\\", "\x01": "\\u0001"}  # no other control character gets here
    return " ".join(f'"{"".join(signs.get(sign, sign) for sign in piece)}"' for piece in _BEYOND_ASCII.split(name))
