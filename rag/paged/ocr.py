"""The text of PDF pages that are pictures, by tesseract: off unless languages are named, and an optional program.

pypdfium2 draws the pages, which pdfplumber brings. Tables and headings are not told apart: a page gives paragraphs.

    recognize_pages(Path("scan.pdf").read_bytes(), [3], "eng")  # {3: ["Its first paragraph.", ...]}
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterable
from io import BytesIO

from rag.errors import ParseFailed

DOTS_PER_INCH = 200
TIMEOUT_S = 120.0  # for a page; one of small print takes ten seconds
_DIVIDED = re.compile(r"(?<=[a-z]{2})[-\u2010]\n(?=[a-z]{2})")


def recognize_pages(content: bytes, numbers: Iterable[int], languages: str) -> dict[int, list[str]]:
    """The paragraphs of each page, which are counted from 1; `languages` are tesseract's, as in "eng+deu".

    Raises ParseFailed: tesseract is not there, lacks a language, or takes too long.
    """
    import pypdfium2

    program = shutil.which("tesseract")
    if program is None:
        raise ParseFailed("CHIPALIGN_OCR is set, and tesseract is not installed: apt install tesseract-ocr")
    found: dict[int, list[str]] = {}
    with pypdfium2.PdfDocument(content) as document:
        for number in numbers:
            drawn = BytesIO()
            document[number - 1].render(scale=DOTS_PER_INCH / 72, grayscale=True).to_pil().save(drawn, "PNG")
            found[number] = _paragraphs(_recognize(program, drawn.getvalue(), languages))
    return found


def _recognize(program: str, picture: bytes, languages: str) -> str:
    command = [program, "stdin", "stdout", "-l", languages, "--psm", "3"]
    try:
        done = subprocess.run(
            command, input=picture, capture_output=True, timeout=TIMEOUT_S, check=True, env={"OMP_THREAD_LIMIT": "1"}
        )
    except subprocess.TimeoutExpired as error:
        raise ParseFailed(f"text recognition of a page takes longer than {TIMEOUT_S:g} s") from error
    except (subprocess.CalledProcessError, OSError) as error:
        reason = " ".join(getattr(error, "stderr", b"").decode("utf-8", "replace").split())[:200] or str(error)
        raise ParseFailed(f"text recognition in the languages {languages!r} fails ({reason})") from error
    return done.stdout.decode("utf-8", "replace")


def _paragraphs(text: str) -> list[str]:
    """What blank lines part, each on one line; signs without a letter or digit are specks."""
    parts = re.split(r"\n\s*\n", _DIVIDED.sub("", text.replace("\f", "\n\n")))
    return [" ".join(part.split()) for part in parts if re.search(r"\w{2}", part)]
