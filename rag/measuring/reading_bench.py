"""Measures what reading and cutting a document costs by its size, for each format and for odd texts.

A cost linear in bytes gives the same MB/s at every size. Documents are made up; each is read by one child and cut by
one, as in a build, and not embedded. The last line on stdout is one JSON document.

    python -m rag.measuring.reading_bench md rst --mb 1 2 4
"""

from __future__ import annotations

import argparse
import io
import json
import os
import random
import resource
import sys
import time
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rag.command_line import run_module
from rag.documents import Document
from rag.embedding.embedder import Embedder, TextEmbedder
from rag.index.cutting import Cutter
from rag.measuring import made_documents
from rag.measuring.made_documents import WORDS, sentences, zip_parts
from rag.settings import RagSettings
from rag.sources.sandbox import Sandbox

SIZES_MB = (1.0, 2.0, 4.0)
PAGED = ("pdf", "docx", "xlsx", "odt", "pptx")  # their bytes are pages and XML: a tenth of the size is as much work


def _markdown(chance: random.Random, number: int) -> str:
    rows = "".join(f"| `-option_{row}` | {sentences(chance, 1)} |\n" for row in range(6))
    return (
        f"## Command {number}\n\n{sentences(chance, 5)}\n\n```tcl\nroute_{number} -layer M{number % 9}\n```\n\n"
        f"| option | what it does |\n|---|---|\n{rows}\n- {sentences(chance, 1)}\n- {sentences(chance, 1)}\n\n"
    )


def _rst(chance: random.Random, number: int) -> str:
    title = f"Command {number}"
    return (
        f"{title}\n{'=' * len(title)}\n\n{sentences(chance, 5)}\n\n.. option:: -layer_{number}\n\n   "
        f"{sentences(chance, 2)}\n\n* {sentences(chance, 1)}\n* {sentences(chance, 1)}\n\n.. code-block:: tcl\n\n"
        f"   route_{number} -all\n\n"
    )


def _html(chance: random.Random, number: int) -> str:
    rows = "".join(f"<tr><td>-option_{row}</td><td>{sentences(chance, 1)}</td></tr>" for row in range(6))
    items = f"<ul><li>{sentences(chance, 1)}</ul>"
    return f"<h2>Command {number}</h2><p>{sentences(chance, 5)}</p><table>{rows}</table>{items}"


def _manual_page(chance: random.Random, number: int) -> str:
    return f".SH COMMAND {number}\n{sentences(chance, 5)}\n.TP\n.B \\-option_{number}\n{sentences(chance, 2)}\n"


def _word_paragraphs(chance: random.Random, number: int) -> str:
    return "".join(f"<w:p><w:r><w:t>{sentences(chance, 3)}</w:t></w:r></w:p>" for _ in range(3))


SECTIONS: dict[str, Callable[[random.Random, int], str]] = {
    "md": _markdown,
    "rst": _rst,
    "txt": lambda chance, number: f"{number}. Command {number}\n\n{sentences(chance, 5)}\n\n{sentences(chance, 4)}\n\n",
    "html": _html,
    "csv": lambda chance, number: f"cell_{number},{sentences(chance, 1)},{number * 0.1:.2f}\n",
    "1": _manual_page,
    "tcl": lambda chance, number: f"# {sentences(chance, 2)}\nproc route_{number} {{net}} {{\n  set a $net\n}}\n\n",
    "v": lambda chance, number: f"// {sentences(chance, 2)}\nmodule m{number}(input a, output b);\nendmodule\n",
    "py": lambda chance, number: f'def route_{number}(net):\n    """{sentences(chance, 2)}"""\n    return net\n\n\n',
    "lib": lambda chance, number: f"  cell (C{number}) {{ area : {number}.5; pin (A) {{ direction : input; }} }}\n",
    "lef": lambda chance, number: f"MACRO C{number}\n  SIZE 1.2 BY 3.4 ;\n  PIN A\n  END A\nEND C{number}\n",
    "def": lambda chance, number: f"- U{number} INVX1 + PLACED ( {number} 0 ) N ;\n",
    "spef": lambda chance, number: f"*D_NET n{number} 0.5\n*CONN\n*I a:{number} I\n*CAP\n1 a:{number} 0.5\n*END\n",
    "docx": _word_paragraphs,
    "pdf": lambda chance, number: f"BT /F1 9 Tf 50 {750 - number % 60 * 12} Td ({sentences(chance, 1)}) Tj ET\n",
    "words.txt": lambda chance, number: f"{chance.choice(WORDS)} ",  # no sentence, no line
    "letters.txt": lambda chance, number: "a\n",
    "paragraphs.txt": lambda chance, number: "a\n\n",
    "word.txt": lambda chance, number: "aGVsbG8",  # base64
    "list.md": lambda chance, number: f"- w{number}\n",
    "cells.md": lambda chance, number: f"| w{number} | b |\n",
    **made_documents.SECTIONS,
}
_FRAMES = {
    **made_documents.FRAMES,
    "md": ("# Manual\n\n", ""),
    "cells.md": ("| a | b |\n|---|---|\n", ""),
    "html": ("<title>Manual</title>", ""),
    "1": (".TH MANUAL 1\n", ""),
    "lib": ("library (big) {\n", "}\n"),
    "lef": ("VERSION 5.8 ;\n", "END LIBRARY\n"),
    "def": ("VERSION 5.8 ;\nDESIGN top ;\nCOMPONENTS 9 ;\n", "END COMPONENTS\nEND DESIGN\n"),
    "spef": ('*SPEF "IEEE 1481-1998"\n*DESIGN "top"\n', ""),
}


def make_content(kind: str, size: int) -> bytes:
    """A document of about so many bytes."""
    chance, section = random.Random(7), SECTIONS[kind]
    before, after = _FRAMES.get(kind, ("", ""))
    parts, length = [before], len(before)
    while length < size:
        parts.append(section(chance, len(parts) - 1))
        length += len(parts[-1])
    text = "".join([*parts, after])
    if kind == "pdf":
        return _pdf_of(parts)
    if kind in ("xlsx", "odt", "pptx"):
        return zip_parts(kind, text)
    return _docx_of(text) if kind == "docx" else text.encode()


def _pdf_of(lines: Sequence[str]) -> bytes:
    """A PDF with 60 lines a page."""
    pages = ["".join(lines[start : start + 60]) for start in range(0, len(lines), 60)]
    kids = " ".join(f"{4 + 2 * number} 0 R" for number in range(len(pages)))
    objects = ["<</Type/Catalog/Pages 2 0 R>>", f"<</Type/Pages/Count {len(pages)}/Kids[{kids}]>>"]
    objects.append("<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>")
    for number, page in enumerate(pages):
        place = f"/MediaBox[0 0 612 792]/Contents {5 + 2 * number} 0 R/Resources<</Font<</F1 3 0 R>>>>"
        objects.append(f"<</Type/Page/Parent 2 0 R{place}>>")
        objects.append(f"<</Length {len(page)}>>stream\n{page}\nendstream")
    body, places = "%PDF-1.7\n", []
    for number, item in enumerate(objects, start=1):
        places.append(len(body))
        body += f"{number} 0 obj\n{item}\nendobj\n"
    table = "".join(f"{place:010} 00000 n \n" for place in places)
    end = f"trailer<</Size {len(objects) + 1}/Root 1 0 R>>\nstartxref\n{len(body)}\n%%EOF"
    return f"{body}xref\n0 {len(objects) + 1}\n0000000000 65535 f \n{table}{end}".encode()


def _docx_of(paragraphs: str) -> bytes:
    """A Word file of the three parts that one must have."""
    kinds, schemas = "application/vnd.openxmlformats-", "http://schemas.openxmlformats.org"
    main = f"{kinds}officedocument.wordprocessingml.document.main+xml"
    relation = f"{schemas}/officeDocument/2006/relationships/officeDocument"
    parts = {
        "[Content_Types].xml": f'<Types xmlns="{schemas}/package/2006/content-types"><Default Extension="rels" '
        f'ContentType="{kinds}package.relationships+xml"/><Override PartName="/word/document.xml" '
        f'ContentType="{main}"/></Types>',
        "_rels/.rels": f'<Relationships xmlns="{schemas}/package/2006/relationships"><Relationship Id="r1" '
        f'Target="word/document.xml" Type="{relation}"/></Relationships>',
        "word/document.xml": f'<w:document xmlns:w="{schemas}/wordprocessingml/2006/main"><w:body>{paragraphs}'
        "</w:body></w:document>",
    }
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
        for name, text in parts.items():
            archive.writestr(name, text)
    return stream.getvalue()


def measure_reading(
    embedder: TextEmbedder,
    settings: RagSettings,
    kinds: Sequence[str] = (),
    sizes_mb: Sequence[float] = SIZES_MB,
    show: Callable[[str, Any], object] = lambda *_: None,
) -> dict[str, Any]:
    """For each kind and size: bytes, chunks, CPU seconds to read and to cut, and MB (of 10^6 bytes) a CPU second.

    show: receives each kind once it is measured.
    """
    found: dict[str, Any] = {}
    with Sandbox(settings) as sandbox, Cutter(embedder, settings) as cutter:
        for kind in kinds or SECTIONS:
            name = kind if "." in kind else f"document.{kind}"
            shrunk = 0.1 if kind in PAGED else 1.0
            measure_one(name, make_content(kind, 1000), sandbox, cutter)  # starts the children; loads parser, tokenizer
            found[kind] = [
                measure_one(name, make_content(kind, int(size * shrunk * 1e6)), sandbox, cutter) for size in sizes_mb
            ]
            show(kind, found[kind])
    return found


def measure_one(name: str, content: bytes, sandbox: Sandbox, cutter: Cutter) -> dict[str, Any]:
    """One document. Raises ParseFailed, CuttingFailed."""
    started = cpu_s()
    own_text, parsed = sandbox.read(name, content)
    read_s = cpu_s() - started
    document = Document("bench", name, parsed.title, own_text, None, "none", blocks=parsed.blocks)
    started = cpu_s()
    chunks = cutter.cut(document)
    cut_s = cpu_s() - started
    rate = len(content) / 1e6 / (read_s + cut_s)
    counts = {"bytes": len(content), "chunks": len(chunks)}
    return {**counts, "read_s": round(read_s, 2), "cut_s": round(cut_s, 2), "mb_per_s": round(rate, 3)}


def cpu_s() -> float:
    """The CPU seconds of this process and of the children that its main thread started (Linux)."""
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text(encoding="ascii").split()
    fields = [Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split() for pid in children]
    ticks = sum(int(field) for stat in fields for field in stat[11:13])  # in user's and in the system's code
    return time.process_time() + ticks / os.sysconf("SC_CLK_TCK")


def main(argv: Sequence[str] | None = None) -> int:
    """Measure the named kinds, or all."""
    parser = argparse.ArgumentParser(
        prog="python -m rag.measuring.reading_bench", description="MB/s of reading and cutting, by format and size."
    )
    parser.add_argument("kinds", nargs="*", metavar="KIND", help=f"of {', '.join(SECTIONS)} (default: all)")
    parser.add_argument(
        "--mb", nargs="+", type=float, default=list(SIZES_MB), metavar="MB", help="sizes (default: 1 2 4)"
    )
    args = parser.parse_args(argv)
    settings = RagSettings.from_env()
    measured = measure_reading(
        Embedder.find(settings.embedder),
        settings,
        args.kinds,
        args.mb,
        lambda kind, rows: sys.stderr.write(f"{kind}: {', '.join(str(row['mb_per_s']) for row in rows)} MB/s\n"),
    )
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    sys.stdout.write(json.dumps({"kinds": measured, "peak_mb_of_a_child": round(peak)}) + "\n")
    return 0


if __name__ == "__main__":
    run_module(main)
