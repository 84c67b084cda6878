"""The text of a file in the encoding that it was saved in: UTF-8, UTF-16, or what old editors and spreadsheets write.

UTF-8 is certain where it decodes, a byte order mark where it stands; everything else is a guess that is said. Chinese,
Japanese and Korean are known by the characters that are common in them, other alphabets by the words that they make,
and what is left is read as windows-1252, in which µ, ° and ± of old scripts stand.

    read_text("Breite 0,14 µm".encode("cp1252")).encoding == "windows-1252"
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

from rag.alphabets import guess_alphabet
from rag.errors import ParseFailed

SAMPLE_BYTES = 65_536  # from which an encoding is guessed
_BINARY_SHARE = 0.02  # of control signs; text has form feeds and escapes at most
_COMMON_SHARE = 0.85  # of a guessed text's foreign characters are common ones where the guess is right
_MARKS = (
    (codecs.BOM_UTF8, "utf-8", ""),
    (codecs.BOM_UTF32_LE, "utf-32-le", "UTF-32"),
    (codecs.BOM_UTF32_BE, "utf-32-be", "UTF-32"),
    (codecs.BOM_UTF16_LE, "utf-16-le", "UTF-16"),
    (codecs.BOM_UTF16_BE, "utf-16-be", "UTF-16"),
)
_NAMES = {
    "gb18030": "GBK",
    "cp932": "Shift-JIS",
    "euc_jp": "EUC-JP",
    "cp949": "EUC-KR",
    "cp950": "Big5",
    "koi8_r": "KOI8-R",
    "iso8859_2": "ISO 8859-2",
    "iso8859_5": "ISO 8859-5",
    "cp437": "DOS (437)",
    "cp850": "DOS (850)",
    "cp852": "DOS (852)",
    "cp866": "DOS (866)",
    "cp874": "windows-874",
    "mac_roman": "Mac Roman",
    "mac_cyrillic": "Mac Cyrillic",
}
_CONTROLS = re.compile(rb"[\x00-\x08\x0b\x0e-\x1a\x1c-\x1f\x7f]")
_LEAST_LETTERS = 4  # of UTF-16 without a mark
_CUT = "its last character is cut"
_FOREIGN = re.compile(r"[^\x00-\x7f]+")
_WITHIN_WORD = re.compile(r"(?<=[a-z])[^\x00-\x7f](?=[a-z])")
_JIS = re.compile(rb"\x1b\$[@B]")  # what turns to kanji in ISO-2022-JP
_LEAST_PADDING = 4  # zero bytes at the end of a file that was made larger than its text
# How editors, Python and LaTeX say what a file is written in; they stand in its beginning
_DECLARED = re.compile(rb"(?:\A|\n)[^\n]{0,80}?coding[:=][ \t]*([-\w.]+)|\\usepackage\[(\w+)\]\{inputenc\}")
_DECLARED_BYTES = 4096
_LATEX_NAMES = {"ansinew": "cp1252", "applemac": "mac_roman", "latin9": "iso8859_15"}
_TEXT_CODECS = re.compile(r"(?:iso8859|cp\d|koi8|mac|gb|big5|euc|shift_jis|tis)")
_FREQUENT_HANZI = (
    "的一是不在有个为中以时和用于数到上下设计定单位出信号线电路布局最小大值模块选择命令文件工具要可对接口器"
)
_KANA = r"\u3041-\u30ff"
_WIDE = re.compile(rf"[{_KANA}\u3000-\u303f\u4e00-\u9fff\uac00-\ud7a3\uff00-\uffef\u2000-\u206f\u2190-\u22ff]")


@dataclass(frozen=True, slots=True)
class Decoded:
    """A text with unix line ends; the `encoding` that was recognised, "" for UTF-8; and a `note` of what was lost."""

    text: str
    encoding: str = ""
    note: str = ""


def read_text(content: bytes) -> Decoded:
    """The text of a file.

    Raises ParseFailed: it is binary or empty.
    """
    decoded = _decode(content)
    text = decoded.text.lstrip("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    if not text.strip():
        raise ParseFailed("empty")
    return Decoded(text, decoded.encoding, decoded.note)


def _decode(content: bytes) -> Decoded:
    for mark, codec, name in _MARKS:
        if content.startswith(mark):
            return _decode_cut(content[len(mark) :], codec, name)
    unpadded = content.rstrip(b"\0")
    if len(content) - len(unpadded) >= _LEAST_PADDING and not _CONTROLS.search(unpadded):
        content = unpadded
    if b"\0" in content[:SAMPLE_BYTES]:
        return _decode_cut(content, _guess_utf16(content[:SAMPLE_BYTES]), "UTF-16 without a byte order mark")
    if b"\0" in content:
        raise ParseFailed("binary, not text")

    if _JIS.search(content[:SAMPLE_BYTES]):
        with suppress(UnicodeDecodeError):
            return Decoded(content.decode("iso2022_jp_2"), "ISO-2022-JP")
    try:
        return Decoded(content.decode("utf-8"))
    except UnicodeDecodeError as error:
        if error.reason == "unexpected end of data":
            return Decoded(content[: error.start].decode("utf-8"), note=_CUT)
        return _decode_mixed(content)


def _decode_cut(content: bytes, codec: str, name: str) -> Decoded:
    """A text whose encoding is known, but for a last character that is cut.

    Raises ParseFailed: it is not in this encoding.
    """
    decoder = codecs.getincrementaldecoder(codec)("strict")
    try:
        text = decoder.decode(content)
    except UnicodeDecodeError as error:
        raise ParseFailed(f"not {name or 'UTF-8'} as its first bytes say (byte {error.start})") from error
    return Decoded(text, name, _CUT if decoder.getstate()[0] else "")


def _decode_mixed(content: bytes) -> Decoded:
    """UTF-8 with lines of windows-1252 pasted into it; a guess of another encoding where most lines are not UTF-8."""
    text = content.decode("utf-8", "replace")
    wrong = text.count("\ufffd")
    if sum(1 for letter in text if letter > "\x7f") < 4 * wrong:
        return _guess(content)

    lines = [_decode_line(line) for line in content.split(b"\n")]
    others = sum(1 for _, is_utf8 in lines if not is_utf8)
    return Decoded("\n".join(line for line, _ in lines), f"windows-1252 in {others} lines")


def _decode_line(line: bytes) -> tuple[str, bool]:
    """A line, and whether it is UTF-8."""
    try:
        return line.decode("utf-8"), True
    except UnicodeDecodeError:
        return line.decode("cp1252", "replace"), False


def _guess_utf16(sample: bytes) -> str:
    """The codec of UTF-16 without a mark, by where its zero bytes stand or by its characters.

    Raises ParseFailed: it is binary.
    """
    half = max(len(sample) // 2, 1)
    if half < _LEAST_LETTERS:
        raise ParseFailed("binary, not text")
    low, high = sample[1::2].count(0) / half, sample[0::2].count(0) / half
    for codec, zeros, others in (("utf-16-le", low, high), ("utf-16-be", high, low)):
        text = sample[: len(sample) // 2 * 2].decode(codec, "replace")
        plain = sum(1 for letter in text if letter.isprintable() or letter in "\r\n\t\f")
        common = sum(1 for letter in text if letter < "\u0250" or _WIDE.match(letter))
        if zeros > others and plain > 0.98 * len(text) and common > 0.95 * len(text):
            return codec
    raise ParseFailed("binary, not text")


def _guess(content: bytes) -> Decoded:
    """A text that is not UTF-8 and has no zero bytes.

    Raises ParseFailed: it is binary.
    """
    with suppress(LookupError, UnicodeDecodeError):
        return Decoded(content.decode(_declared_codec(content[:_DECLARED_BYTES])))
    sample = content[:SAMPLE_BYTES]
    if len(_CONTROLS.findall(sample)) > _BINARY_SHARE * len(sample):
        raise ParseFailed("binary, not text")
    codec = next(_wide_codecs(sample), None) or guess_alphabet(sample)
    for candidate in (codec, "cp1252"):
        decoder = codecs.getincrementaldecoder(candidate)("strict")
        try:
            text = decoder.decode(content)
        except UnicodeDecodeError:
            continue
        if candidate == "cp1252" and "¤" in text:  # nobody writes it: where it stands, ISO 8859-15 has the euro
            return Decoded(content.decode("iso8859_15"), "ISO 8859-15")
        name = _NAMES.get(candidate, candidate.replace("cp125", "windows-125"))
        return Decoded(text, name, _CUT if decoder.getstate()[0] else "")
    return Decoded(content.decode("latin_1"), "latin-1")


def _declared_codec(head: bytes) -> str:
    """The codec that a file names in its beginning.

    Raises LookupError: it names none, or one that is no text's.
    """
    found = _DECLARED.search(head)
    name = (found[1] or found[2]).decode() if found else ""
    codec = codecs.lookup(_LATEX_NAMES.get(name, name)).name
    if not _TEXT_CODECS.match(codec):
        raise LookupError(codec)
    return codec


def _wide_codecs(sample: bytes) -> Iterator[str]:
    """Codecs of Chinese, Japanese and Korean in which nearly all foreign characters of the sample are common ones."""
    pairs = {codec: list(_pairs(sample, codec)) for codec in ("cp932", "euc_jp", "gb18030", "cp950")}

    def share(codec: str, is_common: re.Pattern[bytes]) -> float:
        """The share of the foreign characters that are common; 0 where the codec does not fit."""
        found = pairs[codec]
        return sum(1 for pair in found if is_common.fullmatch(pair)) / len(found) if found else 0.0

    if share("cp932", re.compile(rb"[\x82\x83].")) > 0.1 and share("cp932", _SJIS_KANA) > _COMMON_SHARE:
        yield "cp932"
    if share("euc_jp", re.compile(rb"[\xa4\xa5].")) > 0.1 and share("euc_jp", _EUC) > _COMMON_SHARE:
        yield "euc_jp"
    if share("gb18030", _GB2312) > _COMMON_SHARE:
        hangul = share("gb18030", re.compile(rb"[\xb0-\xc8][\xa1-\xfe]"))
        is_chinese = any(pair.decode("gb18030") in _FREQUENT_HANZI for pair in pairs["gb18030"])
        yield "cp949" if hangul > 0.97 and (len(pairs["gb18030"]) > 8 or not is_chinese) else "gb18030"
    if share("cp950", _BIG5) > _COMMON_SHARE and share("cp950", re.compile(rb".[\xa1-\xfe]")) > 0.3:
        yield "cp950"
    if share("cp932", _SJIS) > _COMMON_SHARE and share("cp932", re.compile(rb".[\x80-\xfc]")) > 0.3:
        yield "cp932"


_SJIS = re.compile(rb"[\x81-\x83\x88-\x97].", re.DOTALL)
_SJIS_KANA = re.compile(rb"[\x81-\x83\x88-\x97].|[\xa1-\xdf]", re.DOTALL)  # with letters of half a width
_EUC = re.compile(rb"[\xa1-\xa5\xb0-\xcf][\xa1-\xfe]")
_GB2312 = re.compile(rb"[\xa1-\xa3\xb0-\xd7][\xa1-\xfe]")
_BIG5 = re.compile(rb"[\xa1-\xa3\xa4-\xc6].", re.DOTALL)


def _pairs(sample: bytes, codec: str) -> Iterator[bytes]:
    """The foreign characters of a sample, as bytes of the codec; none where it does not fit.

    None either where most stand alone within words of ASCII, as only single letters of an alphabet do.
    """
    try:
        text = codecs.getincrementaldecoder(codec)("strict").decode(sample)
    except UnicodeDecodeError:
        return
    if 2 * len(_WITHIN_WORD.findall(text)) > len(_FOREIGN.findall(text)):
        return
    for letter in text:
        if letter > "\x7f":
            yield letter.encode(codec)
