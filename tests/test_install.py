"""What install.py installs: locks that agree with pyproject.toml and constraints.txt, and files that are those which
were locked.
"""

from __future__ import annotations

import json
import os
import re
import sys
import tomllib
import zipfile
from hashlib import sha256
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import install
from tests.attack import Attack
from tests.rows import for_each

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
RUN_EXTRAS = ("merge", "eval", "rag", "serve", "ui", "slack")
ENTRY = re.compile(r"([A-Za-z0-9._-]+)==([A-Za-z0-9.+]+)( ; [^\\\n]+)?((?: \\\n    --hash=sha256:[0-9a-f]{64})+)\n")
LOCKS = (install.TORCH_CPU_LOCK, *install.ENGINE_LOCKS.values(), install.TESTS_LOCK)
CPU_LOCKS = tuple(install.locks("engine-cpu", tests=True))
LEFT_OUT = {"triton"}  # by `make lock`, for the CPU engine and the tests


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def pins(*locks: str) -> dict[str, str]:
    """Versions by name, without the +cpu of torch's build."""
    return {
        canonicalize_name(name): version.removesuffix("+cpu")
        for lock in locks
        for name, version, _, _ in ENTRY.findall(read(lock))
    }


def constraints() -> dict[str, str]:
    lines = [line.split("==") for line in read("constraints.txt").splitlines() if not line.startswith("#")]
    return {canonicalize_name(name): version for name, version in lines}


def declared(*names: str) -> list[Requirement]:
    """The requirements of extras and dependency groups, and those of the package itself."""
    extras, groups = PROJECT["project"]["optional-dependencies"], PROJECT["dependency-groups"]
    lines = [line for name in names for line in {**groups, **extras}[name]]
    return [
        Requirement(line) for line in [*PROJECT["project"]["dependencies"], *lines] if not line.startswith("chipalign[")
    ]


def applies(requirement: Requirement, extra: str = "") -> bool:
    """Whether a requirement is one on this machine, where it is asked for with this extra."""
    return requirement.marker is None or requirement.marker.evaluate({"extra": extra})


def make_wheel(folder: Path, text: str = "VALUE = 1") -> Path:
    """A wheel of one module, which declares a dependency that is nowhere to be had."""
    path = folder / "tiny_part-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr("tiny_part.py", text)
        wheel.writestr(
            "tiny_part-1.0.dist-info/METADATA",
            "Metadata-Version: 2.1\nName: tiny-part\nVersion: 1.0\nRequires-Dist: nowhere-to-be-had\n",
        )
        wheel.writestr(
            "tiny_part-1.0.dist-info/WHEEL",
            "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        )
        wheel.writestr("tiny_part-1.0.dist-info/RECORD", "")
    return path


def lock_of(folder: Path, digest: str) -> Path:
    lock = folder / "a folder" / "lock-tiny.txt"
    lock.parent.mkdir(exist_ok=True)
    lock.write_text(
        f"tiny-part==1.0 ; sys_platform == 'linux' \\\n    --hash=sha256:{'0' * 64} \\\n    --hash=sha256:{digest}\n",
        encoding="utf-8",
    )
    return lock


@pytest.fixture
def pip(monkeypatch: pytest.MonkeyPatch) -> None:
    """The real pip of this interpreter, with no index and no settings of this machine."""
    monkeypatch.setattr(install, "PYTHON", Path(sys.executable))
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_NO_CACHE_DIR", "1")


@for_each("name", LOCKS)
def test_a_lock_holds_pins_with_hashes_and_nothing_else(name: str) -> None:
    text = re.sub(r"^#.*\n", "", read(name), flags=re.MULTILINE)
    assert ENTRY.sub("", text) == ""
    assert "://" not in read(name)


def test_locks_hold_the_versions_of_the_constraints_and_no_others() -> None:
    assert all(constraints().items() >= pins(lock).items() for lock in LOCKS)
    assert constraints() == pins(*LOCKS)


@for_each(
    ("locks", "names"),
    [
        (CPU_LOCKS[:-1], (*RUN_EXTRAS, "engine-cpu", "alone", "alone-engine-cpu", "torch-cpu")),
        ([install.ENGINE_LOCKS["engine-gpu"]], (*RUN_EXTRAS, "engine-gpu", "alone")),
        (CPU_LOCKS, ("milvus", "postgres", "dev")),
    ],
)
def test_what_pyproject_asks_for_is_locked(locks: list[str], names: tuple[str, ...]) -> None:
    locked = pins(*locks)
    for requirement in declared(*names):
        assert requirement.specifier.contains(locked[canonicalize_name(requirement.name)], prereleases=True), (
            requirement
        )


def test_every_extra_and_group_is_locked_somewhere() -> None:
    others = ("engine-cpu", "engine-gpu", "milvus", "postgres", "dev", "alone", "alone-engine-cpu", "torch-cpu")
    known = {*RUN_EXTRAS, *others}
    assert {*PROJECT["project"]["optional-dependencies"], *PROJECT["dependency-groups"]} == known


@pytest.mark.parametrize(
    ("locks", "names"),
    [(CPU_LOCKS[:-1], (*RUN_EXTRAS, "engine-cpu", "torch-cpu")), (CPU_LOCKS, ("milvus", "postgres", "dev"))],
    ids=["run", "tests"],
)
def test_what_locked_packages_declare_is_locked_too(locks: tuple[str, ...], names: tuple[str, ...]) -> None:
    locked = pins(*locks)
    alone = {canonicalize_name(table["name"]) for table in PROJECT["tool"]["uv"]["dependency-metadata"]}
    seen: set[tuple[str, str]] = set()
    todo = [
        (requirement.name, extra)
        for requirement in declared(*names)
        if applies(requirement)
        for extra in ("", *requirement.extras)
    ]
    while todo:
        name, extra = canonicalize_name(todo[-1][0]), todo.pop()[1]
        if (name, extra) in seen or name in alone:
            continue
        seen.add((name, extra))
        for requirement in map(Requirement, metadata.requires(name) or []):
            if applies(requirement, extra):
                assert {canonicalize_name(requirement.name)} <= {*locked, *LEFT_OUT}, f"{name} declares {requirement}"
                todo += [
                    (requirement.name, wanted)
                    for wanted in ("", *requirement.extras)
                    if requirement.name not in LEFT_OUT
                ]
    assert len(seen) > 30


@pytest.mark.parametrize("engine", install.ENGINE_LOCKS)
def test_what_builds_is_locked_with_each_engine(engine: str) -> None:
    entry = install.locked_entry(read(install.ENGINE_LOCKS[engine]), install.BUILDER)
    ((name, version, _, _),) = ENTRY.findall(entry)
    (wanted,) = map(Requirement, PROJECT["build-system"]["requires"])
    assert name == wanted.name
    assert wanted.specifier.contains(version)


def test_an_entry_is_one_package_with_its_hashes() -> None:
    lock = (
        "# head\na==1 \\\n    --hash=sha256:1\nb==2 ; x == 'y' \\\n    --hash=sha256:2 \\\n    --hash=sha256:3\nb-c==3 "
        "\\\n    --hash=sha256:4\n"
    )
    assert install.locked_entry(lock, "b") == "b==2 ; x == 'y' \\\n    --hash=sha256:2 \\\n    --hash=sha256:3\n"
    with pytest.raises(install.InstallFailed, match="no lock file pins c"):
        install.locked_entry(lock, "c")


def test_the_fingerprint_follows_the_locks_that_are_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("pyproject.toml", "install.py", *LOCKS):
        (tmp_path / name).write_text(read(name), encoding="utf-8")
    monkeypatch.setattr(install, "ROOT", tmp_path)
    kinds = [(engine, tests) for engine in install.ENGINE_LOCKS for tests in (True, False)]
    for changed in LOCKS:
        before = [install.fingerprint(*kind) for kind in kinds]
        (tmp_path / changed).write_text(read(changed) + "\n", encoding="utf-8")
        differs = [was != install.fingerprint(*kind) for was, kind in zip(before, kinds, strict=True)]
        assert differs == [changed in install.locks(*kind) for kind in kinds]


@pytest.mark.usefixtures("pip")
def test_a_locked_file_is_installed_and_what_it_declares_is_not(tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path)
    install.pip_locked(
        lock_of(tmp_path, sha256(wheel.read_bytes()).hexdigest()),
        "--find-links",
        str(tmp_path),
        "--target",
        str(tmp_path / "to"),
    )
    assert (tmp_path / "to" / "tiny_part.py").exists()


@pytest.mark.usefixtures("pip")
def test_a_file_that_was_changed_is_refused_in_one_sentence(tmp_path: Path) -> None:
    lock = lock_of(tmp_path, sha256(make_wheel(tmp_path).read_bytes()).hexdigest())
    changed = make_wheel(tmp_path, "VALUE = 2")
    with pytest.raises(install.FileRefused) as refused:
        install.pip_locked(lock, "--find-links", str(tmp_path), "--target", str(tmp_path / "to"))
    message = str(refused.value)
    assert message.startswith(
        f"tiny-part==1.0 was refused: {changed.as_uri()} has the hash {sha256(changed.read_bytes()).hexdigest()}"
    )
    assert "lock-tiny.txt does not list" in message
    assert message.count("\n") == 0
    assert not (tmp_path / "to").exists()


@pytest.mark.usefixtures("pip")
def test_a_package_that_is_nowhere_names_itself_and_the_index(tmp_path: Path) -> None:
    with pytest.raises(install.InstallFailed, match=r"(?s)tiny-part==1\.0.*Is a package index reachable"):
        install.pip_locked(lock_of(tmp_path, "1" * 64), "--target", str(tmp_path / "to"))


@pytest.mark.attack
@pytest.mark.usefixtures("pip")
def test_no_flipped_byte_of_a_file_gets_past_its_hash(attack: Attack, tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path)
    content = wheel.read_bytes()
    lock = lock_of(tmp_path, sha256(content).hexdigest())
    accepted = []
    places = range(0, len(content), -(-len(content) // attack.times(1, full=40)))
    for place in places:
        wheel.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        try:
            install.pip_locked(lock, "--find-links", str(tmp_path), "--target", str(tmp_path / "to"))
            accepted.append(f"byte {place}")
        except (install.FileRefused, install.InstallFailed):
            pass
    attack.report("files of packages with a flipped bit that were installed", len(places), accepted)


def test_the_node_client_is_pinned_with_hashes() -> None:
    packages = json.loads(read("tests/node_client/package-lock.json"))["packages"]
    wanted = json.loads(read("tests/node_client/package.json"))["dependencies"]
    assert packages.pop("")["dependencies"] == wanted
    assert packages
    assert all(
        package["integrity"].startswith("sha512-") and "resolved" not in package for package in packages.values()
    )


def test_a_system_package_comes_by_the_first_way_that_works(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    made = tmp_path / "made"
    assert install.try_ways([[["true"], ["false"]], [["touch", str(made)]]], "a package")
    assert made.exists()
    assert not install.try_ways([[["false"], ["rm", str(made)]]], "a package")
    assert made.exists()
    assert "getting a package: touch" in capsys.readouterr().out
