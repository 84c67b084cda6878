"""The attack on reading documents: hostile files of every format, and archives, in a folder with good files between
them.

Each is read or named with a reason, every good file is there, and nothing takes longer than its limit. The inputs are
made here: a few signs that a format gives a meaning, repeated, nested, left open.
"""

from __future__ import annotations

import gzip
import io
import random
import tarfile
import time
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from rag.commands.build_commands import read_sources
from rag.documents import Skipped
from rag.errors import RagError
from rag.index.building import build_index
from rag.index.opening import open_index
from rag.settings import RagSettings
from tests.attack import Attack
from tests.tiny_embedder import TinyEmbedder

GOOD = "# Good {number}\n\nAntenna violations are fixed with repair_antennas.\n"
QUICK_BYTES = 40 * 2**10
FULL_BYTES = 2**17  # 400 files of a megabyte would take half an hour
# What a format's readers look for; a hostile text is made of these.
SIGNS: dict[str, list[str]] = {
    "md": [
        "[",
        "](",
        "`",
        "*a ",
        "_a",
        ">",
        "- a\n",
        "|",
        "<!--",
        "![",
        "# a\n",
        "[x]: y\n",
        "```\n",
        "<a ",
        "\\",
        "&#1;",
        ":::{a}\n",
        "  ",
    ],
    "rst": [
        "`",
        ":a:`b` ",
        ".. a::\n",
        "|a",
        "a_ ",
        "+-",
        "== ",
        "===\n",
        "\n ",
        "* - a\n",
        ".. option:: -a\n\n ",
        "::\n\n",
        ":ref:`",
        "a\n===\n",
    ],
    "txt": [
        "a ",
        "a",
        ". ",
        "\n",
        "a\n\n",
        "1.1 A\n\n",
        "a\n---\n",
        "\f",
        "a\tb\tc\n",
        "A. ",
        "(",
        "\u6f22",
        "a\u0300",
    ],
    "html": [
        "<div>",
        "<p>a",
        "<table><tr><td>",
        "<a x=y ",
        "&amp;",
        "<li>",
        "<dl><dt>a<dd>",
        "<pre>",
        "<!--",
        "</div>",
        "<b>",
        "<ul>",
        "<h1>",
    ],
    "csv": ["a,", '"', "a,b\n", ",,,", '"a""b",', "\n", "a;", "\t"],
    "tcl": ["{", "}", "proc a {} {\n", "# a\n", "\\\n", "[", '"', "$a ", "proc a "],
    "sh": ["$(", "a() {\n", "}\n", "`", "# a\n", "function a "],
    "v": [
        "module a(",
        "input a,",
        "begin ",
        "/*",
        "`define a ",
        "`ifdef a\n",
        ");\n",
        "endmodule\n",
        "(",
        "module a; endmodule\n",
        "// a\n",
        "\\a ",
    ],
    "sv": ["class a;", "interface a;\n", "endclass\n", "#(", "typedef ", "`a "],
    "vhd": ["entity a is ", "-- a\n", "(", "begin\n"],
    "py": ["(", "[", "def f():\n ", "if 1:\n ", "-", "x=1\n", '"""', "@a\n", "class a:\n "],
    "lef": ["MACRO a\n", "END a\n", "LAYER a\n", "PIN a ", '"', "# a", "VERSION 5.8 ;\n", "UNITS\n"],
    "lib": ["library(a) {", "cell (a) {", "}", '"', "/*", "//", "a : b;", "\\\n", ") {", ";"],
    "def": ["DESIGN a ;\n", "COMPONENTS 9 ;\n", "- a b ;\n", "END COMPONENTS\n", '"', "# "],
    "spef": ['*SPEF "a"\n', "*D_NET a 1\n", "*END\n", "*1 a\n", "*NAME_MAP\n"],
    "1": [
        ".TH a 1\n",
        ".SH a\n",
        "\\fB",
        "\\n[",
        ".TP\n",
        ".TS\n",
        "T{\n",
        '.B "',
        ".de a\n",
        "\\*(",
        ".nf\n",
        "a\n",
        "\\s'",
    ],
    "pdf": [
        "%PDF-1.7\n",
        "1 0 obj\n",
        "<<",
        ">>",
        "[",
        "(",
        "/Kids [1 0 R] ",
        "endobj\n",
        "stream\n",
        "/Length 9999999 ",
        "trailer <</Root 1 0 R>>\n",
    ],
}


def repeat(sign: str, size: int) -> str:
    return sign * (size // len(sign.encode()) + 1)


def nest(opening: str, closing: str, size: int) -> str:
    count = size // len(f"{opening}{closing}".encode()) + 1
    return opening * count + "a" + closing * count


def mix(signs: list[str], size: int, chance: random.Random) -> str:
    """A few of a format's signs in a random pattern that is repeated: what takes long is mostly periodic."""
    period = "".join(chance.choice(signs) for _ in range(chance.randint(1, 5)))
    return chance.choice(signs) * chance.choice((0, 1, 40)) + repeat(period, size) + chance.choice(signs)


def deepen(line: str, step: int, size: int) -> str:
    """Each line deeper than the one before."""
    depth = int((2 * size / max(step, 1)) ** 0.5)
    return "".join(f"{' ' * (step * number)}{line}" for number in range(depth))


def pdf_of(content: bytes, filters: bytes = b"") -> bytes:
    page = (
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 612 792]/Contents 4 0 R/Resources<</Font<</F1 5 0 R>>/XObject<</X 4 0"
        b" R>>>>>>"
    )
    objects = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
        page,
        b"<</Type/XObject/Subtype/Form/BBox[0 0 9 9]/Length %d%s>>stream\n" % (len(content), filters)
        + content
        + b"\nendstream",
        b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>",
    ]
    body, places = b"%PDF-1.7\n", []
    for number, item in enumerate(objects, start=1):
        places.append(len(body))
        body += b"%d 0 obj\n%s\nendobj\n" % (number, item)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    return body + b"xref\n0 6\n0000000000 65535 f \n%strailer<</Size 6/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF" % (
        table,
        len(body),
    )


def docx_of(inner: str, before: str = "") -> bytes:
    kinds = "application/vnd.openxmlformats-"
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(
            "[Content_Types].xml",
            '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"><Default Extension="rels" '
            f'ContentType="{kinds}package.relationships+xml"/><Override PartName="/word/document.xml" '
            f'ContentType="{kinds}officedocument.wordprocessingml.document.main+xml"/></Types>',
        )
        archive.writestr(
            "_rels/.rels",
            '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships"><Relationship Id="r1"'
            ' Target="word/document.xml" '
            'Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument"/></Relationships>',
        )
        space = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
        archive.writestr(
            "word/document.xml", f'{before}<w:document xmlns:w="{space}"><w:body>{inner}</w:body></w:document>'
        )
    return stream.getvalue()


def tar_of(*headers: tuple[bytes, int]) -> bytes:
    """A tar of records of so many bytes each."""
    stream = io.BytesIO()
    for kind, size in headers:
        record = tarfile.TarInfo("././@record")
        record.type, record.size = kind, size
        stream.write(record.tobuf(tarfile.GNU_FORMAT) + b"1" * size + b"\0" * (-size % 512))
    return gzip.compress(stream.getvalue() + b"\0" * 1024)


def zip_of(names: list[str], content: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in names:
            archive.writestr(zipfile.ZipInfo(name), content)
    return stream.getvalue()


def known_kinds(size: int) -> dict[str, bytes]:
    """What stands for a kind by itself."""
    entities = "".join(f'<!ENTITY e{number} "{f"&e{number - 1};" * 10}">' for number in range(1, 10))
    bomb = f'<!DOCTYPE w [<!ENTITY e0 "lol">{entities}]>'
    flat = zlib.compress(b" " * (64 * size), 9)
    texts = {
        "deep.rst": deepen("a\n\n", 1, max(size, 2**18)),  # more than 500 levels, which Python's stack does not hold
        "deeplist.rst": deepen("- a\n\n", 2, max(size, 2**19)),
        "deep.md": deepen("- a\n", 2, size),
        "deep.py": deepen("if 1:\n", 1, size),
        "self.rst": repeat(".. include:: self.rst\n", size),
        "lines.rst": f".. literalinclude:: deep.py\n   :lines: {repeat('1-,', size)}\n",
        "nest.html": nest("<div>", "</div>", size),
        "nest.v": nest("begin ", "end ", size),
        "nest.lib": nest("a(b){", "}", size),
        "macros.v": (
            "`define A0 x\n"
            + "".join(f"`define A{number} `A{number - 1} `A{number - 1}\n" for number in range(1, 60))
            + "`A59\n"
        ),
        "ticks.md": "".join("`" * number + "a" for number in range(1, int((2 * size) ** 0.5))),
        "columns.csv": repeat("a,", size) + "\n" + repeat("b,", size),
        "title.html": f"<title>{repeat('a ', size)}</title><p>{repeat('b ', size)}",
        "name.v": f"module {repeat('a', size)}; endmodule\n" + repeat("// a\n", size),
        "border.rst": f"{'+-' * 20}+\n{repeat('+', size)}x\n",
        "synopsis.md": f"```\n{repeat('a_', size)} -x\n```\n\n|a|b|\n|-|-|\n{repeat('|c|d|', 2000)}\n",
    }
    blobs = {
        "flate.pdf": pdf_of(flat, b"/Filter/FlateDecode"),
        "form.pdf": pdf_of(b"/X Do /X Do "),
        "text.pdf": pdf_of(repeat("BT /F1 9 Tf 9 9 Td (a) Tj ET ", size).encode()),
        "rules.pdf": pdf_of(repeat("0 0 m 9 9 l S ", size).encode()),
        "laughs.docx": docx_of("<w:p><w:r><w:t>&e9;</w:t></w:r></w:p>", bomb),
        "nest.docx": docx_of("<w:p>" + nest("<w:r>", "</w:r>", size) + "</w:p>"),
        "cells.docx": docx_of(f"<w:tbl><w:tr>{repeat('<w:tc><w:p/></w:tc>', size)}</w:tr></w:tbl>"),
        "large.docx": docx_of(repeat("<w:p><w:r><w:t>a</w:t></w:r></w:p>", 4 * size)),
        "bomb.txt.gz": gzip.compress(b"a" * (64 * size)),
        "cut.md.gz": gzip.compress(random.Random(1).randbytes(size))[: size // 2],
        "nul.txt": b"a\0" * size,
        "pax.tar.gz": tar_of((tarfile.XHDTYPE, 8 * 2**20)),
        "many.tar.gz": tar_of(*[(tarfile.XGLTYPE, 512)] * 2000),
        "holes.tar.gz": tar_of((tarfile.GNUTYPE_SPARSE, 512)),
        "up.zip": zip_of(["../../up.md"], b"# Up"),
        "names.zip": zip_of([f"{'a' * 60_000}{number}.md" for number in range(20)], b"# A"),
        "lines.zip": zip_of(["a\nb.md", "\x1b[2J.md", "\u202egnp.md"], b"# A\n\nText.\n"),
        "zero.zip": zip_of([f"{number}.md" for number in range(40)], b" " * 16 * size),
        "noise.zip": random.Random(2).randbytes(size),
    }
    return {name: text.encode() for name, text in texts.items()} | blobs


def hostile_files(count: int, size: int, seed: int) -> dict[str, bytes]:
    """The known kinds, and random ones of every format up to `count`."""
    chance = random.Random(seed)
    files = known_kinds(size)
    shapes: list[Callable[[list[str]], str]] = [
        lambda signs: repeat(chance.choice(signs), size),
        lambda signs: nest(chance.choice(signs), chance.choice(signs), size),
        lambda signs: mix(signs, size, chance),
        lambda signs: deepen(chance.choice(signs), chance.randint(1, 2), size),
    ]
    suffixes = list(SIGNS)
    for number in range(count - len(files)):
        suffix = suffixes[number % len(suffixes)]
        files[f"random{number}.{suffix}"] = chance.choice(shapes)(SIGNS[suffix]).encode()
    return files


@pytest.mark.attack
def test_hostile_files_are_read_or_named_and_every_good_one_is_indexed(attack: Attack, tmp_path: Path) -> None:
    count, size = attack.times(100, full=400), attack.times(QUICK_BYTES, full=FULL_BYTES)
    files = hostile_files(count, size, seed=16)
    docs = tmp_path / "docs"
    docs.mkdir()
    for number, (name, content) in enumerate(files.items()):
        (docs / f"{number:03}-{name}").write_bytes(content)
        (docs / f"{number:03}-zz.md").write_text(GOOD.format(number=number))
    limit_s = attack.times(2, full=4)
    settings = RagSettings(
        home=tmp_path / "home", parse_timeout_s=limit_s, parse_memory_mb=768, archive_total_mb=16, chunk_tokens=200
    )
    skipped: list[Skipped] = []
    failures: list[str] = []
    started = time.monotonic()
    try:
        documents = read_sources([str(docs)], settings, skipped)
        build_index(documents, tmp_path / "index", settings, TinyEmbedder(), skipped=skipped)
    except RagError as error:
        failures.append(f"the build ended: {error}")
        documents = []
    took = time.monotonic() - started

    known = {document.path for document in documents} | {item.path.partition("/")[2] for item in skipped}
    indexed = {chunk.path for chunk in open_index(tmp_path / "index").chunks} if documents else set()
    for number, name in enumerate(files):
        path = f"{number:03}-{name}"
        if not any(other == path or other.startswith(f"{path}/") for other in known):
            failures.append(f"{path} is neither read nor named")
        if f"{number:03}-zz.md" not in indexed:
            failures.append(f"the good file after {path} is not indexed")
    if took > 2 * limit_s * len(files):  # reading and cutting have a limit each
        failures.append(f"the build took {took:.0f} s")
    attack.report("hostile documents", len(files), failures)
