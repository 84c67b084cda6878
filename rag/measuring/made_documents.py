"""Documents made up for `reading_bench`, of the formats of design data, settings, reports and offices.

A section is what a format's files repeat; FRAMES has what stands above and below them. It measures nothing.

    SECTIONS["sp"](random.Random(7), 0).endswith(".ends\\n\\n")
"""

from __future__ import annotations

import io
import random
import zipfile
from collections.abc import Callable, Mapping

Section = Callable[[random.Random, int], str]
WORDS = """
antenna buffer clock delay diode driver fanout floorplan gate hold inserts layer macro net path pin placement power
repairs report reset router scan setup slack slew synthesis timing tree via violation wire with the of for from that
""".split()


def sentences(chance: random.Random, count: int) -> str:
    """So many sentences of ten words."""
    return " ".join(f"{' '.join(chance.choices(WORDS, k=10)).capitalize()}." for _ in range(count))


def _report(chance: random.Random, number: int) -> str:
    rows = "".join(f"| u_{number}_{row} | {chance.random():.3f} | {row} |\n" for row in range(6))
    path = f"Startpoint: a{number}\nEndpoint: b{number}\n\n  0.10   0.10   u1/Y\n\n  0.43   slack (MET)\n"
    return f"{number}. Part {number}\n----------------\n\n| name | slack | count |\n{rows}\n{path}\n"


def _json(chance: random.Random, number: int) -> str:
    return f'  "step_{number}": {{"about": "{sentences(chance, 2)}", "values": [{number}, 0.10, true], "on": null}},\n'


def _notebook(chance: random.Random, number: int) -> str:
    text = f'{{"cell_type": "markdown", "metadata": {{}}, "source": ["## Step {number}\\n", "{sentences(chance, 4)}"]}}'
    code = f'{{"cell_type": "code", "metadata": {{}}, "outputs": [], "source": ["route({number})"]}}'
    return f"{text},\n{code},\n"


def _drawn(chance: random.Random, number: int) -> str:
    points = "".join(f"<a:p><a:r><a:t>{sentences(chance, 1)}</a:t></a:r></a:p>" for _ in range(5))
    return f'<p:sp><p:nvSpPr><p:nvPr><p:ph idx="{number}"/></p:nvPr></p:nvSpPr><p:txBody>{points}</p:txBody></p:sp>'


def _rows(chance: random.Random, number: int) -> str:
    cells = f'<c t="inlineStr"><is><t>{sentences(chance, 1)}</t></is></c><c><v>{number}.5</v></c>'
    return f'<row r="{number + 1}">{cells}</row>'


SECTIONS: dict[str, Section] = {
    "xml": lambda chance, number: f"<h2>Part {number}</h2><p>{sentences(chance, 5)}</p>\n",
    "tex": lambda chance, number: f"\\section{{Part {number}}}\n{sentences(chance, 5)} \\texttt{{a{number}}} $x^2$\n\n",
    "ipynb": _notebook,
    "sh": lambda chance, number: f"# {sentences(chance, 2)}\nroute_{number}() {{\n  echo $1\n}}\n\n",
    "pl": lambda chance, number: f"=item B<--a{number}>\n\n{sentences(chance, 2)}\n\n=cut\n\nsub a{number} {{ 1 }}\n\n",
    "il": lambda chance, number: f"; {sentences(chance, 2)}\nprocedure( a{number}(cv)\n  draw(cv)\n)\n\n",
    "vhd": lambda chance, number: (
        f"-- {sentences(chance, 2)}\nentity e{number} is\n  port (a : in bit);\nend entity;\n\n"
    ),
    "sp": lambda chance, number: f"* {sentences(chance, 2)}\n.subckt s{number} a z\nm1 a z nch w=1u\n.ends\n\n",
    "scs": lambda chance, number: (
        f"// {sentences(chance, 2)}\nsubckt s{number} (a z)\nm1 (a z) nch\nends s{number}\n\n"
    ),
    "svrf": lambda _, number: f"M{number}.W.1 {{\n  @ width of M{number} is 0.04\n  INT M{number} < 0.04\n}}\n\n",
    "tf": lambda _, number: f'Layer "M{number}" {{\n  pitch = 0.08\n  minWidth = 0.04\n}}\n\n',
    "layermap": lambda _, number: f"M{number} drawing {number % 1000} 0\n",
    "yaml": lambda chance, number: (
        f"# {sentences(chance, 1)}\nstep_{number}:\n  a: {number}\n  b: high\n  c: [1, 2]\n\n"
    ),
    "toml": lambda chance, number: (
        f"# {sentences(chance, 1)}\n[step_{number}]\na = {number}\nb = 'high'\nc = [1, 2]\n\n"
    ),
    "mk": lambda chance, number: f"# {sentences(chance, 1)}\nstep_{number}: a.v\n\t@echo $@\n\tflow run {number}\n\n",
    "json": _json,
    "rpt": _report,
    "log": lambda chance, number: f"[INFO GRT-{number % 9999:04}] {sentences(chance, 1)}\n" + "\n" * (number % 30 == 0),
    "xlsx": _rows,
    "odt": lambda chance, number: f"<text:h>Part {number}</text:h><text:p>{sentences(chance, 5)}</text:p>",
    "pptx": _drawn,
}
FRAMES: dict[str, tuple[str, str]] = {
    "xml": ("<html><body>", "</body></html>"),
    "ipynb": ('{"cells": [\n', '{"cell_type": "raw", "source": []}], "metadata": {}, "nbformat": 4}'),
    "json": ("{\n", '  "end": 1\n}\n'),
}


def _urns(*names: str) -> str:
    return " ".join(f'xmlns:{name}="urn:oasis:names:tc:opendocument:xmlns:{name}:1.0"' for name in names)


def zip_parts(kind: str, text: str) -> bytes:
    """The sections of a zipped format in the parts that its reader looks for."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
        for name, content in _PARTS[kind](text).items():
            archive.writestr(name, content)
    return stream.getvalue()


def _parts_of_sheet(rows: str) -> Mapping[str, str]:
    kinds, schemas = "application/vnd.openxmlformats-", "http://schemas.openxmlformats.org"
    main, office = f"{schemas}/spreadsheetml/2006/main", f"{schemas}/officeDocument/2006/relationships"
    spread = f"{kinds}officedocument.spreadsheetml"
    parts = {"/xl/workbook.xml": f"{spread}.sheet.main+xml", "/xl/worksheets/s.xml": f"{spread}.worksheet+xml"}
    types = "".join(f'<Override PartName="{name}" ContentType="{kind}"/>' for name, kind in parts.items())
    relations = f'<Relationships xmlns="{schemas}/package/2006/relationships"><Relationship Id="r1" '
    sheets = '<sheets><sheet name="Pins" sheetId="1" r:id="r1"/></sheets>'
    return {
        "[Content_Types].xml": f'<Types xmlns="{schemas}/package/2006/content-types"><Default Extension="rels" '
        f'ContentType="{kinds}package.relationships+xml"/>{types}</Types>',
        "_rels/.rels": f'{relations}Target="xl/workbook.xml" Type="{office}/officeDocument"/></Relationships>',
        "xl/workbook.xml": f'<workbook xmlns="{main}" xmlns:r="{office}">{sheets}</workbook>',
        "xl/_rels/workbook.xml.rels": f'{relations}Target="worksheets/s.xml" Type="{office}/worksheet"/>'
        "</Relationships>",
        "xl/worksheets/s.xml": f'<worksheet xmlns="{main}"><sheetData>{rows}</sheetData></worksheet>',
    }


def _parts_of_slide(shapes: str) -> Mapping[str, str]:
    schemas = "http://schemas.openxmlformats.org"
    names = f'xmlns:p="{schemas}/presentationml/2006/main" xmlns:a="{schemas}/drawingml/2006/main"'
    return {"ppt/slides/slide1.xml": f"<p:sld {names}>{shapes}</p:sld>"}


def _parts_of_text(body: str) -> Mapping[str, str]:
    inner = f"<office:body><office:text>{body}</office:text></office:body>"
    return {"content.xml": f"<office:document-content {_urns('office', 'text')}>{inner}</office:document-content>"}


_PARTS = {"xlsx": _parts_of_sheet, "pptx": _parts_of_slide, "odt": _parts_of_text}
