"""Slips of a finger in a question, as people make them who type fast: the same ones each time.

It searches nothing.

    misspell("which command repairs antennas", share=0.2)   # "which command rpeairs antennas"
"""

from __future__ import annotations

import random
import re

# What lies beside each letter of an English keyboard
_BESIDE = {
    letter: row[max(place - 1, 0) : place] + row[place + 1 : place + 2]
    for row in ("qwertyuiop", "asdfghjkl", "zxcvbnm")
    for place, letter in enumerate(row)
}
_WORD = re.compile(r"(?<!\S)[a-z]{4,}(?=[,.?!:;]?(?:\s|$))")  # plain words; a name is spelled as it stands somewhere


def misspell(text: str, share: float) -> str:
    """The text with a slip in such a share of its plain words of four letters and more, in one at least.

    share: from 0, which changes nothing, to 1.
    """
    found = list(_WORD.finditer(text))
    if not found or share <= 0:
        return text
    dice = random.Random(text)
    chosen = dice.sample(found, max(1, round(share * len(found))))
    for word in sorted(chosen, key=lambda word: -word.start()):
        text = text[: word.start()] + _slip(word.group(), dice) + text[word.end() :]
    return text


def _slip(word: str, dice: random.Random) -> str:
    """Two letters that change places, one that is left out, doubled, or another beside it; never the first one."""
    place = dice.randrange(1, len(word) - 1)
    before, letter, after = word[:place], word[place], word[place + 1 :]
    return dice.choice(
        (
            before + after[0] + letter + after[1:],
            before + after,
            before + letter + letter + after,
            before + dice.choice(_BESIDE[letter]) + after,
        )
    )
