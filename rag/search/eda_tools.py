"""Finds the tools of chip design that a question names.

A question about a tool that no document covers is not answered from another tool's manual. It knows the names
(data/eda_tools.txt, to which a company adds its own), and nothing of what the tools do.

    named_eda_tools("how do I set the halo in Innovus?")  # [("innovus", "innovus implementation")]
"""

from __future__ import annotations

import re
from functools import lru_cache

from rag.data_folder import DATA

NAMES_FILE = DATA / "eda_tools.txt"
Names = tuple[str, ...]  # of one tool, in lower case


def named_eda_tools(text: str) -> list[Names]:
    """The names of each known tool that a text names, in the order of the text."""
    pattern, tools = _known_tools()
    return list(dict.fromkeys(tools[found.lower()] for found in pattern.findall(text)))


def without_eda_tools(text: str) -> str:
    """The text without the names of known tools."""
    return _known_tools()[0].sub("", text)


@lru_cache(1)
def _known_tools() -> tuple[re.Pattern[str], dict[str, Names]]:
    """What finds any known name as words of its own, the longest first, and the names of its tool."""
    lines = (line.strip().lower() for line in NAMES_FILE.read_text(encoding="utf-8").splitlines())
    tools = [tuple(name.strip() for name in line.split(",")) for line in lines if line and not line.startswith("#")]
    by_name = {name: names for names in tools for name in names}
    longest_first = sorted(by_name, key=len, reverse=True)
    return re.compile(rf"(?<![\w-])(?:{'|'.join(map(re.escape, longest_first))})(?![\w-])", re.IGNORECASE), by_name
