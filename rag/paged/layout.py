"""The geometry of a PDF page: words to lines, columns to reading order, ruled and aligned cells to tables.

It knows nothing of headings or paragraphs (`pdf` does) and opens no file: it works on the words and tables that
pdfplumber finds on a page. Lengths are in points, y grows downwards.

    lines = order_lines(join_words(page.extract_words(extra_attrs=["size", "fontname"])))
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from statistics import median
from typing import Any

from rag.raised import Place, mark_raised, write_raised

# A blank in running text is a quarter of the font size wide, in justified text rarely more than the size; a wider gap
# parts two columns or two cells.
GAP_IN_SIZES = 1.6
# Two columns of text fill their width; the cells of a table do not. Least filling and number of lines on each side of a
# gutter.
MIN_FILLING = 0.6
MIN_COLUMN_LINES = 6
SMALL = 0.85  # of the size of the letters before them, at most, are raised and lowered letters
MOST_NEAR = 1000  # words of a page that end at one place; a column of numbers has a hundred
TOUCHING = 0.15  # of the size: words this near are parts of one, which only another font divides
MAX_SPLITS = 6  # of a page into columns and bands; a newspaper needs fewer
_MONO = re.compile(r"courier|mono|consol|cmtt|typewriter|menlo|fixed|letter ?gothic", re.IGNORECASE)
_SECTION_NUMBER = re.compile(r"(?:\d{1,3}|[A-Z])(?:\.\d{1,3})*\.?")
_BOLD = re.compile(r"bold|black|heavy|cmbx|demi", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Line:
    """A line of text, or a table (`rows`) at this place.

    `cells` are its parts where wide gaps divide it.
    """

    text: str
    x0: float
    x1: float
    top: float
    bottom: float
    size: float
    is_bold: bool = False
    is_mono: bool = False
    cells: tuple[tuple[float, str], ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()


def join_words(words: Sequence[dict[str, Any]]) -> list[Line]:
    """The words of a page as lines from the top, each without a wide gap inside; typewriter text keeps its blanks."""
    words = attach_raised(words)
    rows: list[list[dict[str, Any]]] = []
    for word in sorted(words, key=lambda word: word["bottom"]):
        if rows and abs(rows[-1][0]["bottom"] - word["bottom"]) < max(rows[-1][0]["size"], word["size"], 1.0) * 0.4:
            rows[-1].append(word)
        else:
            rows.append([word])
    lines: list[list[dict[str, Any]]] = []
    for row in rows:
        row.sort(key=lambda word: word["x0"])
        for number, word in enumerate(row):
            if number and _continues(row[number - 1], word):
                lines[-1].append(word)
            else:
                lines.append([word])
    return sorted((_make_line(line) for line in lines), key=lambda line: (line.top, line.x0))


def attach_raised(words: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The words of a page with raised and lowered letters at the end of the word that they stand behind."""
    sizes = {word["size"] for word in words}
    if len(sizes) < 2:
        return list(words)
    largest = max(sizes)
    by_end = sorted(words, key=lambda word: word["x1"])
    ends = [word["x1"] for word in by_end]
    bases: dict[int, dict[str, Any]] = {}  # by the letters that were attached
    texts = {id(word): word["text"] for word in words}
    reach = {id(word): word["x1"] for word in words}
    for word in sorted(words, key=lambda word: word["x0"]):
        if word["size"] > SMALL * largest:
            continue
        first, last = bisect_left(ends, word["x0"] - 0.3 * word["size"]), bisect_right(ends, word["x0"] + 0.5)
        near = by_end[first : min(last, first + MOST_NEAR)]
        candidates = [base for left in near if _is_raised(word, base := bases.get(id(left), left))]
        if candidates:
            base = max(candidates, key=lambda base: _overlap(word, base))
            bases[id(word)] = base
            place: Place = "raised" if word["bottom"] < base["bottom"] else "lowered"
            texts[id(base)] += mark_raised(word["text"], place)
            reach[id(base)] = word["x1"]
    return [
        {**word, "text": write_raised(texts[id(word)]), "x1": reach[id(word)]}
        for word in words
        if id(word) not in bases
    ]


def _is_raised(word: dict[str, Any], base: dict[str, Any]) -> bool:
    """Whether a small word beside a larger one stands at half its height or below its foot."""
    size = base["size"]
    if word["size"] > SMALL * size or 4 * _overlap(word, base) < word["bottom"] - word["top"]:
        return False
    return bool(abs(word["bottom"] - base["bottom"]) > 0.12 * size)


def _overlap(word: dict[str, Any], base: dict[str, Any]) -> float:
    """The height that two words share; below 0 where they stand over each other."""
    return float(min(word["bottom"], base["bottom"]) - max(word["top"], base["top"]))


def _continues(before: dict[str, Any], word: dict[str, Any]) -> bool:
    """Whether a word of the same row belongs to the same line; typewriter text may have wide gaps."""
    is_mono = bool(_MONO.search(before["fontname"]) and _MONO.search(word["fontname"]))
    return bool(word["x0"] - before["x1"] < (8 if is_mono else GAP_IN_SIZES) * max(before["size"], word["size"], 1.0))


def _make_line(words: list[dict[str, Any]]) -> Line:
    is_mono = all(_MONO.search(word["fontname"]) for word in words)
    letters = sum(len(word["text"]) for word in words)
    character = sum(word["x1"] - word["x0"] for word in words) / max(letters, 1)
    text = words[0]["text"]
    for before, word in pairwise(words):
        gap = word["x0"] - before["x1"]
        blanks = round(gap / character) if is_mono and character > 0 else 1
        touches = abs(gap) < TOUCHING * min(before["size"], word["size"])
        least = 0 if touches and before["size"] > SMALL * word["size"] else 1  # a small number is a footnote's
        text += " " * min(max(blanks, least) if is_mono else least, 80) + word["text"]
    return Line(
        text=text,
        x0=words[0]["x0"],
        x1=max(word["x1"] for word in words),
        top=min(word["top"] for word in words),
        bottom=max(word["bottom"] for word in words),
        size=round(max(words, key=lambda word: len(word["text"]))["size"] * 2) / 2,
        is_bold=all(_BOLD.search(word["fontname"]) for word in words),
        is_mono=is_mono,
    )


def order_lines(lines: list[Line], splits: int = MAX_SPLITS) -> list[Line]:
    """The lines in reading order: column by column where a gutter divides full lines, else from the top.

    A line that crosses the gutter (a title, a wide table) divides the page into bands, read one after the other. Parts
    of a line that wide gaps divide are joined again where they are not columns, with the parts as `cells`.
    """
    gutter = _find_gutter(lines) if splits else None
    if gutter is None:
        return _merge_rows(lines)
    ordered: list[Line] = []
    band: list[Line] = []
    for line in [*sorted(lines, key=lambda line: line.top), None]:
        if line is not None and not line.x0 < gutter < line.x1:
            band.append(line)
            continue
        for side in ([item for item in band if item.x1 <= gutter], [item for item in band if item.x0 >= gutter]):
            ordered += order_lines(side, splits - 1)
        band = []
        ordered += [line] if line is not None else []
    return ordered


def _find_gutter(lines: list[Line]) -> float | None:
    """The x of a vertical strip with full columns on both sides, or None.

    At most a fifth of the lines cross it.
    """
    texts = [line for line in lines if not line.rows and len(line.text) > 1]
    if len(texts) < 2 * MIN_COLUMN_LINES:
        return None
    left, right = min(line.x0 for line in texts), max(line.x1 for line in texts)
    starts = sorted(
        {round(line.x0) for line in texts if left + (right - left) * 0.2 < line.x0 < right - (right - left) * 0.15}
    )
    best: tuple[int, float] | None = None
    for start in starts[:200]:
        x = start - 1.5
        crossing = sum(1 for line in texts if line.x0 < x < line.x1)
        if 5 * crossing <= len(texts) and _is_full(texts, left, x, right) and (best is None or crossing < best[0]):
            best = (crossing, x)
    return best[1] if best else None


def _is_full(lines: list[Line], left: float, x: float, right: float) -> bool:
    """Whether both sides of `x` hold enough lines, most of which fill their column.

    Text fills its column; the cells of a table do not.
    """
    on_left = [line for line in lines if line.x1 <= x]
    on_right = [line for line in lines if line.x0 >= x]
    if min(len(on_left), len(on_right)) < MIN_COLUMN_LINES:
        return False
    widths = (max(line.x1 for line in on_left) - left, right - x)
    fillings = [
        median((line.x1 - line.x0) / max(width, 1.0) for line in side)
        for side, width in zip((on_left, on_right), widths, strict=True)
    ]
    return min(fillings) >= MIN_FILLING


def _merge_rows(lines: list[Line]) -> list[Line]:
    """Parts of one line joined from the left, with the parts as `cells`."""
    rows: list[list[Line]] = []
    for line in sorted(lines, key=lambda line: (line.bottom, line.x0)):
        last = rows[-1][0] if rows else None
        if last and not last.rows and not line.rows and abs(last.bottom - line.bottom) < min(last.size, line.size) / 2:
            rows[-1].append(line)
        else:
            rows.append([line])
    merged = []
    for row in rows:
        row.sort(key=lambda line: line.x0)
        if len(row) == 1:
            merged.append(row[0])
            continue
        cells = tuple((line.x0, line.text) for line in row)
        text = "  ".join(line.text for line in row)
        merged.append(
            replace(max(row, key=lambda line: len(line.text)), text=text, x0=row[0].x0, x1=row[-1].x1, cells=cells)
        )
    return sorted(merged, key=lambda line: line.top)


def find_aligned_tables(lines: list[Line]) -> list[Line]:
    """Runs of lines whose cells begin at the same places become tables.

    A line of one cell under another continues that cell.
    """
    lines = [_join_number(line) for line in lines]
    found: list[Line] = []
    position = 0
    while position < len(lines):
        end = position
        while end < len(lines) and _fits_table(lines[position], lines[end]):
            end += 1
        run = lines[position:end]
        if sum(1 for line in run if line.cells) >= 3:
            found.append(_as_table(run))
            position = end
        else:
            found.append(lines[position])
            position += 1
    return found


def _join_number(line: Line) -> Line:
    """A bold heading whose number stands apart ("1.6.   Housekeeping") is one line, and no row of a table."""
    if len(line.cells) != 2 or not line.is_bold or not _SECTION_NUMBER.fullmatch(line.cells[0][1]):
        return line
    return replace(line, text=" ".join(text for _, text in line.cells), cells=())


def _fits_table(first: Line, line: Line) -> bool:
    if not first.cells or line.rows:
        return False
    columns = [x for x, _ in first.cells]
    starts = [x for x, _ in line.cells] or [line.x0]
    if not line.cells and (abs(line.x0 - columns[0]) < first.size or line.x1 - line.x0 > 60 * line.size):
        return False  # a line that begins where the table does is the text after it
    return len(starts) <= len(columns) and all(min(abs(start - x) for x in columns) < first.size for start in starts)


def _as_table(run: list[Line]) -> Line:
    columns = [x for x, _ in run[0].cells]
    rows: list[list[str]] = []
    for line in run:
        row = [""] * len(columns)
        for x, text in line.cells or ((line.x0, line.text),):
            nearest = min(range(len(columns)), key=lambda column: abs(columns[column] - x))
            row[nearest] = f"{row[nearest]} {text}".strip()
        if rows and not row[0]:
            rows[-1] = [f"{above} {below}".strip() for above, below in zip(rows[-1], row, strict=True)]
        else:
            rows.append(row)
    return replace(
        run[0], text="", bottom=run[-1].bottom, x1=max(line.x1 for line in run), cells=(), rows=tuple(map(tuple, rows))
    )
