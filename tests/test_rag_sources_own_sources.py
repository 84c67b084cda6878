"""rag.sources.own_sources and checkout: a list of sources as a company writes it, and what git checkouts say."""

from __future__ import annotations

from pathlib import Path

import pytest

from rag.errors import SourceUnusable
from rag.sources.checkout import Checkout, read_revision
from rag.sources.named import NamedSource
from rag.sources.own_sources import make_url, read_own_sources
from tests.rows import for_each

REVISION = "0123456789abcdef0123456789abcdef01234567"


def write_list(folder: Path, text: str) -> Path:
    (folder / "docs").mkdir(exist_ok=True)
    file = folder / "sources.toml"
    file.write_text(text)
    return file


def write_checkout(folder: Path, remote: str = "", head: str = "ref: refs/heads/main") -> Path:
    git = folder / ".git"
    (git / "refs" / "heads").mkdir(parents=True)
    (git / "HEAD").write_text(f"{head}\n")
    (git / "refs" / "heads" / "main").write_text(f"{REVISION}\n")
    (git / "config").write_text(
        f'[core]\n\tbare = false\n[remote "origin"]\n\turl = {remote}\n\tfetch = +refs/heads/*\n'
    )
    return folder


def test_a_list_says_where_each_source_lies_and_what_is_known_of_it(tmp_path: Path) -> None:
    text = '[router]\npath = "docs"\nversion = "2.1"\nowner = "CAD team"\nlicence = "LicenseRef-R"\nrank_lower = true\n'
    file = write_list(tmp_path, f'{text}url = "https://git.example/r/{{path}}"\n\n[notes]\npath = "{tmp_path}/docs"\n')
    router, notes = read_own_sources(file)
    assert (router.path, router.collection, router.version) == (tmp_path / "docs", "router@2.1", "2.1")
    assert (router.owner, router.licence, router.ranks_lower) == ("CAD team", "LicenseRef-R", True)
    assert router.url_of("a b/ü.md") == "https://git.example/r/a%20b/%C3%BC.md"
    assert (notes.collection, notes.owner, notes.ranks_lower, notes.licence) == ("notes", "", False, "not stated")
    assert notes.url_of("a.md") is None


@for_each(
    ("text", "message"),
    [
        ("path = ", "is not a list of sources"),
        ("", "names no source"),
        ('[a]\npath = "docs"\nowned = "x"', "is not a source (it has owned): it may have path, version, owner"),
        ('[a]\nowner = "x"', "sources.toml is not a source (it has no path): it may have path, version"),
        ("[a]\npath = 3", "3 is not of the type str"),
        ('[a]\npath = "gone"', "which is not there: correct its path"),
        ('["a/b"]\npath = "docs"', "a name has letters"),
        ('[a]\npath = "docs"\nurl = "https://x/{file}"', "url holds {file}, which is none of path"),
        ('[a]\npath = "docs"\nurl = "https://x/{path"', r"expected '}'"),
    ],
)
def test_a_list_that_is_wrong_is_one_sentence_with_the_table(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(SourceUnusable) as caught:
        read_own_sources(write_list(tmp_path, text))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@for_each(
    ("remote", "url"),
    [
        (
            "https://github.com/cad/flow.git",
            f"https://github.com/cad/flow/blob/{REVISION}/docs/a%20b.md?plain=1#L{{line}}",
        ),
        (
            "https://me:secret@git.example:8443/cad/flow",
            f"https://git.example:8443/cad/flow/blob/{REVISION}/docs/a%20b.md?plain=1#L{{line}}",
        ),
        (
            "git@gitlab.example:cad/flow.git",
            f"https://gitlab.example/cad/flow/-/blob/{REVISION}/docs/a%20b.md?plain=1#L{{line}}",
        ),
        (
            "ssh://git@git.example:22/cad/flow.git",
            f"https://git.example/cad/flow/blob/{REVISION}/docs/a%20b.md?plain=1#L{{line}}",
        ),
        ("https://git.example:99999/cad/flow.git", None),  # no port
        ("https://git.example:door/cad/flow.git", None),
        ("https://[git.example/cad/flow.git", None),
        ("/srv/git/flow.git", None),
        ("", None),
    ],
)
def test_a_checkout_gives_its_revision_and_links_without_passwords(
    tmp_path: Path, remote: str, url: str | None
) -> None:
    found = read_revision(write_checkout(tmp_path, remote))
    assert (found.revision, found.version) == (REVISION, REVISION[:12])
    assert found.url_of("docs/a b.md") == url


def test_a_revision_is_found_wherever_git_keeps_it(tmp_path: Path) -> None:
    assert read_revision(write_checkout(tmp_path / "detached", head=REVISION)).revision == REVISION
    packed = write_checkout(tmp_path / "packed")
    (packed / ".git" / "refs" / "heads" / "main").unlink()
    (packed / ".git" / "packed-refs").write_text(f"# pack-refs\n{REVISION} refs/heads/main\n")
    assert read_revision(packed).revision == REVISION
    worktree = tmp_path / "worktree"
    (own := tmp_path / "packed" / ".git" / "worktrees" / "w").mkdir(parents=True)
    worktree.mkdir()
    (worktree / ".git").write_text(f"gitdir: {own}\n")
    (own / "HEAD").write_text("ref: refs/heads/main\n")
    (own / "commondir").write_text("../..\n")
    assert read_revision(worktree).revision == REVISION


def test_a_folder_that_is_not_a_checkout_or_a_broken_one_says_nothing(tmp_path: Path) -> None:
    assert read_revision(tmp_path) == Checkout()
    assert read_revision(write_checkout(tmp_path / "odd", head="ref: ../../../etc/passwd")) == Checkout()
    assert read_revision(write_checkout(tmp_path / "cut", head="")) == Checkout()
    assert read_revision(write_checkout(tmp_path / "none", head="ref: refs/heads/none")) == Checkout()


def test_addresses_fit_web_folders_confluence_exports_and_git_hosts() -> None:
    assert make_url("https://{path}", "")("wiki.example/a/index.html") == "https://wiki.example/a/index.html"
    page = make_url("https://wiki.example/pages/viewpage.action?pageId={page_id}", "")
    assert page("CAD/Router-Setup_98765.html") == "https://wiki.example/pages/viewpage.action?pageId=98765"
    assert page("CAD/index.html") is None
    git = make_url("https://git.example/{revision}/{path}#L{line}", "abc")
    assert git("a.tcl") == "https://git.example/abc/a.tcl#L{line}"  # until a passage says which


def test_a_listed_checkout_has_its_revision_as_its_version(tmp_path: Path) -> None:
    file = write_list(tmp_path, '[flow]\npath = "docs"\n')
    write_checkout(tmp_path / "docs", "https://git.example/cad/flow")
    (flow,) = read_own_sources(file)
    assert isinstance(flow, NamedSource)
    assert (flow.collection, flow.version) == ("flow", REVISION[:12])
    assert flow.url_of("a.md") == f"https://git.example/cad/flow/blob/{REVISION}/a.md?plain=1#L{{line}}"
