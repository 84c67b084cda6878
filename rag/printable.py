"""Text of others (file names, titles, reasons) as it may stand on one line of a terminal: what would steer it or break
the line is shown escaped.

For what people read. Where a name says which file is meant (an index, `--json`), it stays as it is.

    printable("a\\nb\\x1b[2J.md") == "a\\\\nb\\\\x1b[2J.md"
"""

import json
import re
import unicodedata

# Control characters, surrogates, ends of lines and paragraphs, and format characters, which turn the direction of what
# follows or hide it.
_KINDS = ("Cc", "Cs", "Zl", "Zp", "Cf")
_JOINERS = "\u200c\u200d"  # Persian, Hindi and many emojis are written with them; they act on their neighbours alone
_SUSPECT = re.compile(r"[^\x20-\x7e\u00a1-\u00ac\u00ae-\u05ff]")  # a quick look: what is outside is asked for its kind


def printable(text: str, keep: str = "") -> str:
    """The text without any character that steers a terminal: each stands there as Python writes it, but for those to
    `keep`.
    """
    return _SUSPECT.sub(lambda found: found[0] if found[0] in keep else _show(found[0]), text)


def printable_json(text: str) -> str:
    """JSON that says the same without any such character; only its own ends of lines are kept."""
    return _SUSPECT.sub(
        lambda found: found[0] if found[0] == "\n" or not _steers(found[0]) else json.dumps(found[0])[1:-1], text
    )


def redact(url: str) -> str:
    """An address as it may be shown: without the user name and the password that may stand in it."""
    before, at, host = url.rpartition("@")
    scheme, slashes, _ = before.partition("//")
    return f"{scheme}{slashes}{host}" if at and slashes else host


def _steers(character: str) -> bool:
    return unicodedata.category(character) in _KINDS and character not in _JOINERS


def _show(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii") if _steers(character) else character
