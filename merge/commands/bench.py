"""`chipalign merge bench`: our merge beside mergekit's slerp and plain copies of the same bytes, in one run.

They take turns. Everything is synthetic and lies in a temporary folder; mergekit is installed once from the package
index, into an environment of its own. Figures depend on the machine, so the document names it and gives ratios; no test
asserts them. This process stays small and imports no numpy: on Linux a child's peak memory starts at its parent's.

    document = run_bench(BenchOptions(Path("parents"), tools=Path("tools")), say=print)
"""

from __future__ import annotations

import datetime
import json
import multiprocessing
import os
import platform
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from merge.commands.bench_summary import compare_with_aims
from merge.commands.kill_bench import kill_repeatedly
from merge.commands.measured import run_measured, take_medians
from merge.commands.method_bench import measure_methods, measure_whole
from merge.errors import BenchFailed

Say = Callable[[str], None]

MERGEKIT = "mergekit==0.1.5"
MERGEKIT_FLAGS = {
    "mergekit": [],
    "mergekit_best": ["--async-write", "--write-threads", "2", "--low-cpu-memory", "--lazy-unpickle"],
}
COPY_BYTES = 4 << 20  # read and written at a time by the copy floor
LAYERS = 22  # with the shape below 1.1 B parameters, as TinyLlama has
SHAPE = {
    "hidden_size": 2048,
    "intermediate_size": 5632,
    "num_attention_heads": 32,
    "num_key_value_heads": 4,
    "vocab_size": 32000,
}
QUICK_SHAPE = {
    "hidden_size": 512,
    "intermediate_size": 1408,
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
    "vocab_size": 32000,
}
LARGE_LAYERS = 32  # 8.0 B parameters, as Llama 3 has them
LARGE_SHAPE = {
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "vocab_size": 128256,
}
LARGE_BYTES = 50e9  # of both parents and the output
NOISE = 1 << 24  # random numbers that weights are cut from, at random places
LAM = 0.6
# Runs before the first byte of a parent is read: the only start-up that a comparison with plain copies may leave out.
START = "import chipalign, merge.commands.merge_commands, merge.models.parents"
ELEMENTS, QUICK_ELEMENTS = 1 << 28, 1 << 24  # of the one tensor that each method merges
ESTIMATED = (8e9, 70e9, 405e9)  # parameters
KILL_SHAPE = {
    "hidden_size": 128,
    "intermediate_size": 512,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 8192,
}


@dataclass(frozen=True)
class BenchOptions:
    """What is measured, and where the parents are made."""

    folder: Path  # needs room for two pairs and their outputs, 26 GB
    tools: Path  # where mergekit's environment stays
    rounds: int = 3
    kills: int = 200
    quick: bool = False  # a pair of 100 M parameters, one round, 20 kills, no mergekit
    large: bool = False  # one merge of 8 B parameters more: 50 GB

    @property
    def shape(self) -> Mapping[str, int]:
        """The shape of the models."""
        return QUICK_SHAPE if self.quick else SHAPE


def run_bench(options: BenchOptions, say: Say) -> dict[str, Any]:
    """Measure everything; returns one document. Raises BenchFailed: a command fails or its output is wrong."""
    rounds, kills = (1, 20) if options.quick else (options.rounds, options.kills)
    mergekit = None if options.quick else find_mergekit(options.tools, say)
    sizes: dict[int, dict[str, Any]] = {}

    for layers in (LAYERS // 2, LAYERS, 2 * LAYERS):
        say(f"making a pair of {layers} layers")
        pair = options.folder / f"pair-{layers}"
        _apart(make_pair, pair, layers, options.shape)
        say(f"merging {layers} layers")
        if layers == LAYERS:
            side_by_side = compare(pair, mergekit, rounds, say)
            threads = {str(count): measure_ours(pair, rounds, threads=count) for count in (1, 2)}
            sizes[layers] = side_by_side["ours"]
        else:
            sizes[layers] = measure_ours(pair, rounds)
        sizes[layers] = {"layers": layers, "parameters": sizes[layers]["parameters"], **pick(sizes[layers])}
        shutil.rmtree(pair)

    say("merging one large tensor by each method")
    methods = _apart(measure_methods, options.folder / "methods", QUICK_ELEMENTS if options.quick else ELEMENTS, rounds)
    whole = measure_whole(options.folder / "methods", rounds)
    shutil.rmtree(options.folder / "methods")
    large = [measure_large(options.folder / "large", say)] if options.large else []

    say(f"killing a small merge {kills} times")
    small = options.folder / "small"
    _apart(make_pair, small, 20, KILL_SHAPE)
    killed = asdict(kill_repeatedly(small / "chip", small / "chat", small / "out", kills))

    twice, once = sizes[2 * LAYERS], sizes[LAYERS]
    document = {
        **describe_machine(),
        "rounds": rounds,
        **side_by_side,
        "sizes": list(sizes.values()),
        "threads": {k: pick(v) for k, v in threads.items()},
        "estimates": estimate_all(list(sizes.values())),
        "seconds_per_parameter_ratio_twice_as_deep": round(
            twice["s"] / twice["parameters"] / (once["s"] / once["parameters"]), 3
        ),
        "peak_mb_ratio_twice_as_deep": round(twice["peak_mb"] / once["peak_mb"], 3),
        "large": large,
        "methods": methods,
        "whole": whole,
        "kills": killed,
    }
    return {**document, "aims": compare_with_aims(document)}


def measure_large(pair: Path, say: Say) -> dict[str, Any]:
    """One merge of 8 B parameters. Raises BenchFailed: the disk has no room for it."""
    pair.mkdir()
    free_bytes = shutil.disk_usage(pair).free
    if free_bytes < LARGE_BYTES:
        raise BenchFailed(
            f"{pair.parent} has {free_bytes / 1e9:.0f} GB free, 8 B parameters need {LARGE_BYTES / 1e9:.0f}"
        )
    say("making a pair of 8 B parameters")
    _apart(make_pair, pair, LARGE_LAYERS, LARGE_SHAPE)
    say("merging 8 B parameters")
    run = merge_once(pair)
    shutil.rmtree(pair)
    return {"layers": LARGE_LAYERS, "parameters": run["parameters"], **pick(run)}


def pick(run: Mapping[str, Any]) -> dict[str, Any]:
    """The compared figures of a run."""
    return {key: run[key] for key in ("s", "wall_s", "cpu_s", "peak_mb")}


def estimate_all(sizes: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Estimates for merges of ESTIMATED parameters on a larger machine.

    They use the CPU time per parameter between the smallest and the largest size.
    """
    small, large = sizes[0], sizes[-1]
    cpu_ns = (large["cpu_s"] - small["cpu_s"]) / (large["parameters"] - small["parameters"]) * 1e9
    return {
        "cpu_ns_per_parameter": round(cpu_ns, 2),
        "merges": [estimate_merge(parameters, cpu_ns) for parameters in ESTIMATED],
    }


def estimate_merge(parameters: float, cpu_ns: float, *, cores: int = 48, storage_gb_s: float = 3.0) -> dict[str, Any]:
    """What a merge of two bfloat16 parents would take, on paper: seconds of cores and storage, in parallel.

    cpu_ns: CPU nanoseconds per parameter. Assumed are cores as fast as the measured ones with memory bandwidth in
    proportion, and storage of one sequential rate for reading and writing together (3 GB/s: one NVMe drive). Both
    parents are read three times, for hashes, sums and combination: `storage_s` is for memory that keeps them after the
    first time (4 + 2 bytes per parameter), `storage_uncached_s` for memory that keeps nothing (3 * 4 + 2).
    """
    found = {
        "cpu_s": parameters * cpu_ns / 1e9 / cores,
        "storage_s": 6 * parameters / 1e9 / storage_gb_s,
        "storage_uncached_s": 14 * parameters / 1e9 / storage_gb_s,
    }
    binds = "storage" if found["storage_s"] > found["cpu_s"] else "cores"
    return {"parameters": parameters, **{name: round(seconds, 1) for name, seconds in found.items()}, "binds": binds}


def describe_machine() -> dict[str, Any]:
    """The machine that the figures were taken on."""
    return {
        "date": datetime.date.today().isoformat(),
        "cpu": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "load": os.getloadavg()[0],
        "python": platform.python_version(),
        "numpy": version("numpy"),
        "numba": version("numba"),
    }


def compare(pair: Path, mergekit: Path | None, rounds: int, say: Say) -> dict[str, Any]:
    """Copy floor, ours and mergekit in turn, `rounds` times: the median of each, and the ratios of the medians."""
    runs: dict[str, list[dict[str, Any]]] = {}
    for number in range(1, rounds + 1):
        say(f"round {number} of {rounds}")
        runs.setdefault("copy", []).append(time_copies(pair))
        runs.setdefault("ours", []).append(merge_once(pair))
        for name, flags in MERGEKIT_FLAGS.items() if mergekit else ():
            runs.setdefault(name, []).append(run_mergekit(Path(str(mergekit)), pair, flags))
    medians = {name: take_medians(each) for name, each in runs.items()}
    ours, ratios = medians["ours"], {"ours_to_copy": medians["ours"]["s"] / medians["copy"]["s"]}
    ratios |= {
        f"{name}_to_ours": medians[name]["wall_s"] / ours["wall_s"] for name in MERGEKIT_FLAGS if name in medians
    }
    return {**medians, "ratios": {name: round(ratio, 2) for name, ratio in ratios.items()}}


def measure_ours(pair: Path, rounds: int, threads: int | None = None) -> dict[str, Any]:
    """Medians of our merge."""
    return take_medians([merge_once(pair, threads) for _ in range(rounds)])


def merge_once(pair: Path, threads: int | None = None) -> dict[str, Any]:
    """Run `chipalign merge` as a user starts it, and measure it.

    `wall_s` is all of it, `s` is `wall_s` less `start_s`, and the ratio to the copy floor is of `s`.

    `start_s` is the wall time, measured just before, of a python process that does what a merge does before it begins
    to hash its parents (START) and ends there. All that the merge imports and compiles while it hashes, such as numba
    and the loops, counts as merging.
    """
    out = pair / "out"
    arguments = [
        "--chip",
        str(pair / "chip"),
        "--instruct",
        str(pair / "chat"),
        "--lam",
        str(LAM),
        "--out",
        str(out),
        "--force",
        "--json",
    ]

    command = [
        sys.executable,
        "-m",
        "chipalign",
        "merge",
        *arguments,
        *([] if threads is None else ["--threads", str(threads)]),
    ]

    start, _ = run_measured([sys.executable, "-c", START])
    used, printed = run_measured(command)
    shutil.rmtree(out)
    seconds = round(used["wall_s"] - start["wall_s"], 2)
    return {"s": seconds, **used, "start_s": start["wall_s"], "parameters": json.loads(printed)["parameters"]}


def run_mergekit(program: Path, pair: Path, flags: Sequence[str]) -> dict[str, Any]:
    """Run mergekit's slerp of the same pair at the same place between the two."""
    recipe, out = pair / "slerp.yml", pair / "mergekit"
    models = "".join(f"  - model: {pair / side}\n" for side in ("chip", "chat"))
    recipe.write_text(
        f"models:\n{models}merge_method: slerp\nbase_model: {pair / 'chat'}\nparameters:\n  t: {LAM}\ndtype: bfloat16\n"
    )
    used, _ = run_measured([str(program), str(recipe), str(out), "--no-copy-tokenizer", *flags])
    shutil.rmtree(out)
    return {"s": used["wall_s"], **used}


def time_copies(pair: Path) -> dict[str, Any]:
    """The floor: plain reads of both parents, and plain writes of as many bytes as the output has."""
    os.sync()
    buffer, started = memoryview(bytearray(COPY_BYTES)), time.perf_counter()
    for side in ("chip", "chat"):
        for path in sorted((pair / side).glob("*.safetensors")):
            with path.open("rb", buffering=0) as source, (pair / f"copy-{path.name}").open("wb", buffering=0) as target:
                while n_read := source.readinto(buffer):
                    if side == "chat":
                        target.write(buffer[:n_read])
    seconds = time.perf_counter() - started
    for path in pair.glob("copy-*"):
        path.unlink()
    return {"s": round(seconds, 3)}


def find_mergekit(tools: Path, say: Say) -> Path | None:
    """mergekit's program, installed into an environment of its own if need be.

    None where that fails, which is reported.
    """
    program = tools / MERGEKIT.replace("==", "-") / "bin" / "mergekit-yaml"
    if program.exists():
        return program
    say(f"installing {MERGEKIT} from the package index, once")
    environment = program.parents[1]
    try:
        subprocess.run([sys.executable, "-m", "venv", str(environment)], check=True, capture_output=True)
        subprocess.run([str(environment / "bin" / "pip"), "install", "-q", MERGEKIT], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        shutil.rmtree(environment, ignore_errors=True)
        say(f"{MERGEKIT} could not be installed, so it is left out: {error}")
        return None
    return program


def make_pair(folder: Path, layers: int, shape: Mapping[str, int], shards: int = 3) -> None:
    """Write `chat`, a Llama of random bfloat16 weights, and `chip`, the same with noise of a tenth of their size."""
    import numpy as np

    from merge.arithmetic.dtypes import BFLOAT16
    from merge.arithmetic.geodesic import CHUNK
    from merge.models.checkpoint import TensorSpec
    from merge.models.writing import CheckpointWriter

    dice, noise = (
        random.Random(0),
        np.float32(0.02) * np.random.default_rng(0).standard_normal(NOISE + CHUNK, np.float32),
    )
    specs = [TensorSpec(name, "BF16", size, folder, 0) for name, size in list_tensors(layers, shape)]
    shard_bytes = sum(spec.n_bytes for spec in specs) // shards + max(spec.n_bytes for spec in specs)
    for side in ("chat", "chip"):
        (folder / side).mkdir(parents=True)
        config = {
            "architectures": ["LlamaForCausalLM"],
            "model_type": "llama",
            "num_hidden_layers": layers,
            "tie_word_embeddings": False,
        }
        (folder / side / "config.json").write_text(json.dumps({**config, **shape, "dtype": "bfloat16"}))
    with (
        CheckpointWriter(folder / "chat", specs, shard_bytes) as chat,
        CheckpointWriter(folder / "chip", specs, shard_bytes) as chip,
    ):
        for spec in specs:
            for start in range(0, spec.numel, CHUNK):
                count = min(CHUNK, spec.numel - start)
                first, second = (noise[at : at + count] for at in (dice.randrange(NOISE), dice.randrange(NOISE)))
                chat.write(spec.name, start, first.astype(BFLOAT16))
                chip.write(spec.name, start, (first + np.float32(0.1) * second).astype(BFLOAT16))
        chat.finish()
        chip.finish()


def list_tensors(layers: int, shape: Mapping[str, int]) -> list[tuple[str, tuple[int, ...]]]:
    """Names and shapes of a Llama's tensors."""
    hidden, inner, vocab = shape["hidden_size"], shape["intermediate_size"], shape["vocab_size"]
    keys = hidden * shape["num_key_value_heads"] // shape["num_attention_heads"]
    attention = {"q": hidden, "k": keys, "v": keys, "o": hidden}
    tensors: list[tuple[str, tuple[int, ...]]] = [
        ("model.embed_tokens.weight", (vocab, hidden)),
        ("lm_head.weight", (vocab, hidden)),
    ]
    for layer in range(layers):
        name = f"model.layers.{layer}"
        tensors += [(f"{name}.self_attn.{kind}_proj.weight", (rows, hidden)) for kind, rows in attention.items()]
        tensors += [(f"{name}.mlp.{kind}_proj.weight", (inner, hidden)) for kind in ("gate", "up")]
        tensors += [(f"{name}.mlp.down_proj.weight", (hidden, inner))]
        tensors += [(f"{name}.{kind}_layernorm.weight", (hidden,)) for kind in ("input", "post_attention")]
    return [*tensors, ("model.norm.weight", (hidden,))]


def _apart(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function in a process of its own, so that this one stays small."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(function, arguments)
