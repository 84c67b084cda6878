"""Takes a prompt apart: what its writer says, and the blocks that he hands over (code, tagged or quoted text).

It decides nothing; `decision` does.

    layout = read_layout('Translate to French: "The net is routed twice."')
    layout.outside  # "Translate to French: \ufffc"
"""

from __future__ import annotations

import re
from dataclasses import dataclass

HOLE = "\ufffc"  # stands where a block was
SHORTEST_QUOTE = 3  # words: shorter ones are names
MOST_SENTENCES = 3  # at either end of a prompt, where its instruction stands
MOST_OF_SENTENCE = 600  # characters

_FENCE = re.compile(r"^[ \t>]*(?:```|~~~)([^\n`]*)\n(.*?)(?:^[ \t>]*(?:```|~~~)|\Z)", re.DOTALL | re.MULTILINE)
_FENCE_IN_LINE = re.compile(r"```([^`\n]+)```")
_TAG = re.compile(r"<([A-Za-z][\w-]{0,30})(?:\s[^<>]{0,200})?>")
_TRIPLE = re.compile(r'"""(.*?)(?:"""|\Z)', re.DOTALL)
_RULED = re.compile(r"^-{3,}[ \t]*\n(.*?)\n-{3,}[ \t]*$", re.DOTALL | re.MULTILINE)
_QUOTED = re.compile(r"\"([^\"\n]{8,600})\"|“([^”\n]{8,600})”|„([^“”\n]{8,600})[“”]|«([^»\n]{8,600})»")
_CODE_LINE = re.compile(
    r"^(?:[ \t]+\S|.*[{;][ \t]*$|[+-]\s?\S"
    r"|(?:def|class|import|from|function|public|module|assign|always|set|export|for|if)\b.*[:;({\]])",
    re.MULTILINE,
)
_SENTENCE_END = re.compile(r"(?<=[.!?。？！])\s+|\n+")
_WRAPPED = re.compile(r"^(.{40,}[^\s.:!?;,])[ \t]*\n(?=[a-z])", re.MULTILINE)  # a sentence over several lines
_WORD = re.compile(r"[^\W_]+")
_CJK = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")


@dataclass(frozen=True, slots=True)
class Layout:
    """A prompt: `outside` has `HOLE` for each of its `blocks`; `has_code` says whether some of it looks like code."""

    outside: str
    blocks: tuple[str, ...]
    has_code: bool
    language: str = ""  # of the first block of code, as its fence names it

    @property
    def sentences(self) -> list[str]:
        """What is said outside blocks, sentence by sentence; a line end is one too."""
        found = (sentence.strip() for sentence in _SENTENCE_END.split(_WRAPPED.sub(r"\1 ", self.outside)))
        return [sentence[:MOST_OF_SENTENCE] for sentence in found if sentence]

    @property
    def instructions(self) -> list[str]:
        """The sentences that may say what to do: the first and the last ones."""
        sentences = self.sentences
        return list(dict.fromkeys([*sentences[:MOST_SENTENCES], *sentences[-MOST_SENTENCES:]]))

    def hands_over(self, instruction: str) -> bool:
        """Whether there is text for the instruction to work on: a block, more of its own line, or other lines."""
        if self.blocks:
            return True
        return word_count(self.tail(instruction)) >= 2 or word_count(self.outside) - word_count(instruction) >= 3

    def tail(self, instruction: str) -> str:
        """What stands behind the instruction's colon: in its own line, or in those after it."""
        tail = instruction.replace("：", ":").partition(":")[2].strip()
        if not tail and instruction.endswith((":", "：")):
            tail = self.outside.partition(instruction[-40:])[2].strip()
        return tail


def read_layout(text: str) -> Layout:
    """A prompt taken apart."""
    blocks: list[str] = []

    def take(found: re.Match[str]) -> str:
        """Put a hole where the block was; names in quotes stay."""
        block = next((group for group in reversed(found.groups()) if group), "")
        if found.re is _QUOTED and word_count(block) < SHORTEST_QUOTE:
            return found.group()
        blocks.append(block)
        return HOLE

    fence = _FENCE.search(text)
    outside = _FENCE.sub(take, text)
    outside = _take_tagged(outside, blocks)
    for pattern in (_FENCE_IN_LINE, _TRIPLE, _RULED, _QUOTED):
        outside = pattern.sub(take, outside)
    language = fence.group(1).strip().lower().partition(" ")[0] if fence else ""
    return Layout(outside, tuple(blocks), bool(fence) or len(_CODE_LINE.findall(text)) >= 2, language)


def _take_tagged(text: str, blocks: list[str]) -> str:
    """The text with holes for what stands between tags; a tag without its end is text."""
    parts, at, unended = [], 0, set[str]()
    for tag in _TAG.finditer(text):
        if tag.start() < at or tag.group(1) in unended:
            continue
        end = text.find(f"</{tag.group(1)}", tag.end())
        if end < 0:
            unended.add(tag.group(1))
        else:
            parts += [text[at : tag.start()], HOLE]
            blocks.append(text[tag.end() : end])
            at = text.find(">", end) + 1 or len(text)
    return "".join([*parts, text[at:]])


def word_count(text: str) -> int:
    """The words of a text; two signs of Chinese, Japanese or Korean count as one. A hole is three."""
    signs = len(_CJK.findall(text))
    return len(_WORD.findall(_CJK.sub("", text))) + signs // 2 + 3 * text.count(HOLE)
