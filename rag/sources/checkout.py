"""What a git checkout says of itself: its revision, and the address of a file at its host.

It reads what git wrote, and runs no git.

    read_revision(Path("~/flow").expanduser()).revision == "5c9e487120593c70f8aad1f894af949a9811a411"
"""

from __future__ import annotations

import configparser
import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlsplit

from rag.sources.line_numbers import LINE

_REVISION = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_MOST_BYTES = 2**20  # of a file that is read; packed-refs of a large project has some 100 KB
_BY_SSH = re.compile(r"(?:ssh://)?(?:[\w.-]+@)?(?P<host>[\w.-]+)(?::\d+/|[:/])(?P<path>\S+)")
_DRAWN = (".md", ".markdown", ".rst", ".csv", ".tsv", ".ipynb")
VERSION_DIGITS = 12  # of a revision as a version: what `corpus list` shows


@dataclass(frozen=True, slots=True)
class Checkout:
    """The revision, "" where the folder is not a checkout, and the web address of its repository, "" where unknown."""

    revision: str = ""
    web: str = ""

    @property
    def version(self) -> str:
        """The revision, shortened."""
        return self.revision[:VERSION_DIGITS]

    def url_of(self, path: str) -> str | None:
        """The page of a file at this revision with a place for the line, in the form of GitHub's and GitLab's.

        None where it is not known. Hosts draw some formats, and show lines of those only where they are asked to.
        """
        if not self.web:
            return None
        folder = "-/blob" if "gitlab" in (urlsplit(self.web).hostname or "") else "blob"
        plain = "?plain=1" if path.lower().endswith(_DRAWN) else ""
        return f"{self.web}/{folder}/{self.revision}/{quote(path)}{plain}#L{LINE}"


def read_revision(folder: Path) -> Checkout:
    """The checkout whose top is this folder; an empty one for any other folder."""
    git = folder / ".git"
    try:
        if git.is_file():  # a worktree or a submodule names its folder
            git = folder / _read(git).removeprefix("gitdir:").strip()
        common = git / _read(git / "commondir").strip() if (git / "commondir").is_file() else git
        head = _read(git / "HEAD").strip()
        revision = head if _REVISION.fullmatch(head) else _find_ref(common, head.removeprefix("ref:").strip())
    except (OSError, ValueError):
        return Checkout()
    return Checkout(revision, _find_web(common / "config")) if _REVISION.fullmatch(revision) else Checkout()


def _find_ref(common: Path, ref: str) -> str:
    """The revision that a branch is at."""
    if ".." in ref.split("/") or not ref.startswith("refs/"):
        return ""
    if (common / ref).is_file():
        return _read(common / ref).strip()
    lines = _read(common / "packed-refs").splitlines()
    return next((line.split(" ")[0] for line in lines if line.endswith(f" {ref}")), "")


def _find_web(config: Path) -> str:
    """The address of the remote `origin` for a browser, without user and password."""
    parser = configparser.RawConfigParser(strict=False, allow_no_value=True)
    try:
        parser.read_string("\n".join(line.strip() for line in _read(config).splitlines()))
        remote = parser.get('remote "origin"', "url") or ""
        parts = urlsplit(remote)
        port = f":{parts.port}" if parts.port else ""
    except (OSError, ValueError, configparser.Error):
        return ""

    if parts.scheme in ("http", "https") and parts.hostname:
        host, path = f"{parts.scheme}://{parts.hostname}{port}", parts.path.strip("/")
    elif (by_ssh := _BY_SSH.fullmatch(remote)) and "." in by_ssh["host"]:
        host, path = f"https://{by_ssh['host']}", by_ssh["path"].strip("/")
    else:
        return ""
    return f"{host}/{path.removesuffix('.git')}"


def _read(file: Path) -> str:
    with file.open("rb") as handle:
        return handle.read(_MOST_BYTES).decode("utf-8")
