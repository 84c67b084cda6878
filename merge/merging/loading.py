"""Whether transformers loads what goes with a merge's weights: config, tokenizer, processor. It reads no weights.

A process of its own tries it while tensors are merged, for the library takes 1.5 s of a core. It goes without torch,
which would take six and 0.4 GB, unless there is a processor, which needs it. Where transformers is loaded here already,
it is tried here. Where all is the chat parent's, there is nothing to try.

    check = LoadingCheck(folder, chat)  # begins
    check.wait()  # raises OutputUnloadable
"""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import warnings
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

from merge.errors import OutputUnloadable, shorten
from merge.models.beside import is_tokenizer_file

PROCESSORS = ("processor_config.json", "preprocessor_config.json", "video_preprocessor_config.json")
REASON = 200  # characters of a library's reason
WAIT_S = 300
ROOT = Path(__file__).parents[2]
LOWER = 5  # the process's niceness: the merge goes first


class LoadingCheck:
    """A trial that has begun. What the chat parent itself cannot load either is no fault of the merge."""

    def __init__(self, folder: Path, chat: Path) -> None:
        """folder: what goes with the output's weights; chat: the chat parent's folder."""
        self._folder, self._chat = folder, chat
        self._process: subprocess.Popen[bytes] | None = None
        if sys.modules.get("transformers") is None:
            self._process = subprocess.Popen(
                make_command(folder, chat),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                cwd=ROOT,
            )

    def wait(self) -> list[str]:
        """What could not be tried, as sentences. Raises OutputUnloadable: what the chat parent loads, this does not."""
        failures: dict[str, str] | None
        if self._process is None:
            failures = compare_loading(self._folder, self._chat)
        else:
            try:
                out, _ = self._process.communicate(timeout=WAIT_S)
                failures = json.loads(out)
            except (subprocess.TimeoutExpired, ValueError):
                self.close()
                return ["whether transformers loads config and tokenizer could not be tried"]
        if failures:
            said = "; ".join(f"{what}: {reason}" for what, reason in failures.items())
            raise OutputUnloadable(
                f"transformers loads the chat parent's files and not those of the merge ({said}). Please report this; "
                'vocab = "chat" and config = "chat" take the chat parent\'s as they are'
            )
        return []

    def close(self) -> None:
        """End the trial."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    def __enter__(self) -> LoadingCheck:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


def make_command(folder: Path, chat: Path) -> list[str]:
    """What a process of its own is started with, in ROOT."""
    return [sys.executable, "-m", "merge.merging.loading", str(folder.absolute()), str(chat.absolute())]


def compare_loading(folder: Path, chat: Path) -> dict[str, str]:
    """What fails to load from `folder`, and loads from `chat`: reasons by what it is."""
    failed = try_loading(folder)
    if not failed:
        return {}
    excused = try_loading(chat)
    return {what: reason for what, reason in failed.items() if what not in excused}


def try_loading(folder: Path) -> dict[str, str]:
    """The reasons why config, tokenizer or processor do not load, by what it is; no code of the model's is run."""
    import transformers  # each of its parts is imported when it is named, and takes its time

    parts = {"config": "AutoConfig"}
    if any(is_tokenizer_file(path.name) for path in folder.iterdir()):
        parts["tokenizer"] = "AutoTokenizer"
    if has_processor(folder):
        parts["processor"] = "AutoProcessor"
    failed = {}
    for what, name in parts.items():
        loader = getattr(transformers, name)
        try:
            with warnings.catch_warnings(), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
                warnings.simplefilter("ignore")
                loader.from_pretrained(str(folder), trust_remote_code=False, local_files_only=True)
        except ImportError:  # a library that this machine lacks says nothing of the files
            continue
        except Exception as error:  # the libraries raise all kinds on unexpected content
            reason = (str(error).splitlines() or [""])[0] or type(error).__name__
            failed[what] = shorten(reason, REASON)
    return failed


def has_processor(folder: Path) -> bool:
    """Whether something beside the weights makes images, video or sound into numbers."""
    return any((folder / name).is_file() for name in PROCESSORS)


def main(folder: Path, chat: Path) -> None:
    """Write as JSON what fails to load."""
    os.nice(LOWER)
    if not has_processor(folder):
        sys.modules["torch"] = None  # type: ignore[assignment]  # as if it were not installed
    result = compare_loading(folder, chat)
    sys.stdout.write(json.dumps(result))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
