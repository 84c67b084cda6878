"""Others' text (file names, titles, reasons) made safe for one line of a terminal: control characters are escaped.

It is for what people read. A name that identifies a file (an index, `--json`) stays as it is.

    printable("a\\nb\\x1b[2J.md") == "a\\\\nb\\\\x1b[2J.md"
"""

from __future__ import annotations

import json
import re
import unicodedata

# Control characters, surrogates, ends of lines and paragraphs, and format characters, which turn the direction of what
# follows or hide it.
_KINDS = ("Cc", "Cs", "Zl", "Zp", "Cf")
_JOINERS = "\u200c\u200d"  # Persian, Hindi and many emojis need them; they act only on their neighbours
_SUSPECT = re.compile(r"[^\x20-\x7e\u00a1-\u00ac\u00ae-\u05ff]")  # a quick look: only what is outside is examined


def printable(text: str, keep: str = "") -> str:
    """The text with each character that steers a terminal written as Python escapes it, except those in `keep`."""
    return _SUSPECT.sub(lambda found: found[0] if found[0] in keep else _show(found[0]), text)


def printable_json(text: str) -> str:
    """Equivalent JSON without any such character; only its own ends of lines are kept."""
    return _SUSPECT.sub(
        lambda found: found[0] if found[0] == "\n" or not _steers(found[0]) else json.dumps(found[0])[1:-1], text
    )


def _steers(character: str) -> bool:
    return unicodedata.category(character) in _KINDS and character not in _JOINERS


def _show(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii") if _steers(character) else character
