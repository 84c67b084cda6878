"""What becomes of every byte of a source: read, markup, left out by rule, not read with a reason, or lost in silence.

The lines of a file are taken without its parser. A line is read where its document has at least half of its runs of
three words, or nine of ten of its words, which cells and joined lines bring into another order. What is not read and is
no markup of its format is lost, and shown.

    accounts = account_for(Path("manuals"), settings)
    sys.stdout.write(describe_accounts(accounts))
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from rag.counted import counted
from rag.documents import Document, Skipped
from rag.errors import ParseFailed
from rag.formats.parser import format_of
from rag.measuring.source_lines import SourceLine, read_lines, show_words
from rag.printable import printable
from rag.settings import RagSettings
from rag.sources.account import JOINED
from rag.sources.reader import read_content, read_source

SHOWN = 5  # lost lines of a format
_WORD = re.compile(r"[^\W_]+")
_RUN = 3  # words


@dataclass
class FormatAccount:
    """The files of one format and their bytes by what became of them; `lost` holds lines with their places."""

    files: int = 0
    bytes: Counter[str] = field(default_factory=Counter)
    lost: list[str] = field(default_factory=list)


def account_for(path: Path, settings: RagSettings) -> dict[str, FormatAccount]:
    """The account of a folder, file or archive, by format.

    Raises what `read_source` raises.
    """
    skipped: list[Skipped] = []
    documents = {item.path: item for item in read_source(path, "", skipped, settings=settings, caches=False)}
    reasons = {item.path.removeprefix("/"): item.reason for item in skipped if not JOINED.match(item.reason)}
    accounts: dict[str, FormatAccount] = {}
    for name, content in read_content(path, settings):
        found = format_of(name)
        account = accounts.setdefault(found.name if found else "no format that is read", FormatAccount())
        account.files += 1
        if name in documents:
            _add_document(account, documents[name], name, content)
        else:
            reason = re.sub(r"\d+", "N", reasons.get(name, "not a type of document that is read"))
            account.bytes[f"not read: {reason.partition(' in ')[0]}"] += len(content)
    return accounts


def _add_document(account: FormatAccount, document: Document, name: str, content: bytes) -> None:
    known = _runs_of(_words_of(_texts(document)))
    rest = len(content)
    try:
        lines = list(read_lines(name, content))
    except (ParseFailed, ValueError) as error:
        lines = [SourceLine(str(error), "")]
    for line in lines:
        size = len(line.text.encode("utf-8", "replace"))
        rest -= size
        if is_read(show_words(line.text), known) or is_read(line.text, known):
            account.bytes["read"] += size
        elif line.left_out:
            account.bytes[line.left_out] += size
        else:
            account.bytes["lost"] += size
            account.lost.append(f"{name}: {line.text.strip()}")
    account.bytes["markup and packing"] += rest


def _texts(document: Document) -> Iterator[str]:
    """All that a reader can find of a document, in its order."""
    yield document.title
    above: tuple[str, ...] = ()
    for block in document.blocks:
        yield from (heading for heading in block.heading_path if heading not in above)
        yield block.text
        above = block.heading_path


def _words_of(texts: Iterable[str]) -> list[str]:
    return [word for text in texts for word in _WORD.findall(text.lower())]


def _runs_of(words: list[str]) -> set[tuple[str, ...]]:
    """All runs of one, two and three words."""
    return {tuple(words[start : start + size]) for size in range(1, _RUN + 1) for start in range(len(words) + 1 - size)}


def is_read(line: str, known: set[tuple[str, ...]]) -> bool:
    """Whether a line's words stand in a document: half of its runs of three, or nine of ten of its words."""
    words = [word for word in _words_of([line]) if len(word) > 1 or word.isdecimal()]
    if len(words) > 1 and 10 * sum((word,) in known for word in words) >= 9 * len(words):
        return True
    size = min(_RUN, len(words))
    if not size:
        return True
    runs = [tuple(words[start : start + size]) for start in range(len(words) + 1 - size)]
    return 2 * sum(run in known for run in runs) >= len(runs)


def describe_accounts(accounts: dict[str, FormatAccount]) -> str:
    """The accounts as text: a line for each format and each thing that became of its bytes, and the lost lines."""
    lines: list[str] = []
    for name, account in sorted(accounts.items(), key=lambda item: -item[1].bytes.total()):
        lines.append(f"{name}: {counted(account.files, 'file')}, {counted(account.bytes.total(), 'byte')}")
        lines += [f"  {count:>10} {printable(what)}" for what, count in account.bytes.most_common()]
        lines += [f"             {printable(line[:160])}" for line in account.lost[:SHOWN]]
    lost = sum(account.bytes["lost"] for account in accounts.values())
    return "\n".join([*lines, f"lost in silence: {lost} bytes"]) + "\n"
