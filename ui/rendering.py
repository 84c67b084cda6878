"""Text of people, models and documents made safe to hand to Streamlit's Markdown. Pure: strings in, strings out.

Streamlit itself shows raw HTML as text, but reads no Markdown inside it. What is done here: keep a tag a text, keep a dollar a dollar
(Tcl is full of them, and Streamlit reads two of them as LaTeX), show no picture (an address fetched by merely reading an answer), and
link "[2]" to its passage.

    st.markdown(answer_markdown("Set `$::env(X)`, see [1].", sources))
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from ui.events import Source

# Fenced blocks (also one that is still being streamed and has no end yet), then inline code: what Markdown shows as it stands.
_CODE = re.compile(r"(^[ \t]*(`{3,}|~{3,})[^\n]*\n.*?(?:^[ \t]*\2[`~]*[ \t]*$|\Z)|(?<!`)(`+)(?!`).+?(?<!`)\3(?!`))", re.DOTALL | re.MULTILINE)
_CITATION = re.compile(r"(?!^\[\d+\]:)\[(\d{1,3})\](?!\()", re.MULTILINE)  # neither a link's text nor the definition of one
_MARKUP = re.compile(r"([\\`*_{}\[\]()#+\-.!|<>~$:&^=])")


def literal(text: str) -> str:
    """`text` as Markdown that shows exactly its characters, line breaks kept."""
    return _MARKUP.sub(r"\\\1", text).replace("\n", "  \n")


def answer_markdown(text: str, sources: Iterable[Source] = ()) -> str:
    """A model's answer as Markdown: its code and lists as written, its dollars and pictures disarmed, its citations linked."""
    links = {source.number: source.link for source in sources if source.link}
    pieces = []
    position = 0
    for code in _CODE.finditer(text):
        pieces += [_prose(text[position : code.start()], links), code.group()]
        position = code.end()
    return "".join([*pieces, _prose(text[position:], links)])


def _prose(text: str, links: dict[int, str]) -> str:
    text = re.sub(r"(?<!\\)<(?=[a-zA-Z/!?])(?!https?://)", r"\\<", text)  # a tag is text; and a line that opens with one hides no Markdown
    text = text.replace("![", "!\\[")  # a picture is fetched when it is shown, and so can carry text away
    text = re.sub(r"(?<!\\)\$", r"\\$", text)
    text = re.sub(r"(?<!\\):(?=[a-z-]+\[)", r"\\:", text)  # Streamlit's own `:red[...]`, which bus slices look like
    return _CITATION.sub(lambda match: _link(match, links), text)


def _link(match: re.Match[str], links: dict[int, str]) -> str:
    url = links.get(int(match.group(1)))
    if url is None:
        return match.group()
    target = re.sub(r"[\s<>()\\]", lambda c: f"%{ord(c.group()):02X}", url)  # these would end the link early
    return f"[\\[{match.group(1)}\\]]({target})"
