"""Command line and environment of the vLLM process follow from the settings and from which build is installed."""

from __future__ import annotations

from pathlib import Path

import pytest

from serve.errors import SettingsError
from serve.running.engine import (
    KV_CACHE_GIB,
    engine_command,
    engine_environment,
    engine_kind,
    fits_in_float32,
    lacks_bfloat16,
)
from serve.settings import ServeSettings


def option(command: list[str], name: str) -> str:
    """The value behind an option."""
    return command[command.index(name) + 1]


def test_the_engine_serves_the_checkpoint_by_its_name_to_this_machine_alone(tmp_path: Path) -> None:
    command = engine_command(ServeSettings(home=tmp_path, host="0.0.0.0", engine_port=7001, model_id="chip-7b"), "vllm")
    assert option(command, "--model") == str(tmp_path / "models" / "chip-7b")
    assert option(command, "--served-model-name") == "chip-7b"
    assert (option(command, "--host"), option(command, "--port")) == ("127.0.0.1", "7001")


@pytest.mark.parametrize(("kind", "eager"), [("vllm", False), ("vllm-cpu", True)])
def test_compilation_is_left_out_on_cpu_alone(kind: str, eager: bool) -> None:
    assert ("--enforce-eager" in engine_command(ServeSettings(), kind)) is eager


def test_float32_is_for_processors_on_which_bfloat16_is_slow() -> None:
    assert ("--dtype" in engine_command(ServeSettings(), "vllm-cpu")) is lacks_bfloat16()
    assert "--dtype" not in engine_command(ServeSettings(), "vllm")


@pytest.mark.parametrize(
    ("text", "lacks"),
    [
        ("model name : A\nflags\t\t: fpu avx2 avx512f avx512_vnni\n", True),
        ("model name : B\nflags\t\t: fpu avx512f avx512_bf16\n", False),
        ("model name : C\nflags\t\t: fpu avx512f amx_bf16 amx_tile\n", False),
        ("Features : fp asimd\n", False),  # no x86: vLLM decides
    ],
)
def test_a_processor_is_known_by_what_linux_says_of_it(tmp_path: Path, text: str, lacks: bool) -> None:
    (tmp_path / "cpuinfo").write_text(text)
    assert lacks_bfloat16(tmp_path / "cpuinfo") is lacks
    assert lacks_bfloat16(tmp_path / "absent") is False


def test_a_model_that_would_fill_the_memory_in_float32_is_left_as_it_is(tmp_path: Path) -> None:
    assert fits_in_float32(tmp_path)
    with (tmp_path / "model-00001-of-00002.safetensors").open("wb") as file:
        file.truncate(2**41)  # a hole: no byte of it is on the disk
    assert not fits_in_float32(tmp_path)


def test_a_context_window_is_set_only_where_one_is_asked_for() -> None:
    assert "--max-model-len" not in engine_command(ServeSettings(), "vllm")
    assert option(engine_command(ServeSettings(max_model_len=2048), "vllm"), "--max-model-len") == "2048"


def test_the_users_own_options_are_read_as_in_a_shell_and_come_last_to_win() -> None:
    command = engine_command(
        ServeSettings(engine_args="""--tool-call-parser hermes --chat-template "my file.jinja" """), "vllm-cpu"
    )
    assert command[-4:] == ["--tool-call-parser", "hermes", "--chat-template", "my file.jinja"]


def test_a_quote_that_is_never_closed_is_reported_with_the_variable() -> None:
    with pytest.raises(
        SettingsError, match=r"CHIPALIGN_ENGINE_ARGS is .*: write options as in a shell \(No closing quotation\)"
    ):
        engine_command(ServeSettings(engine_args='--seed "1'), "vllm")


def test_the_environment_bounds_the_cache_and_calls_nobody_unless_the_user_says_so() -> None:
    ours = engine_environment({"PATH": "/bin"})
    assert ours["PATH"] == "/bin"
    assert ours["VLLM_CPU_KVCACHE_SPACE"] == KV_CACHE_GIB
    assert (ours["VLLM_NO_USAGE_STATS"], ours["DO_NOT_TRACK"], ours["HF_HUB_OFFLINE"]) == ("1", "1", "1")
    assert engine_environment({"VLLM_CPU_KVCACHE_SPACE": "8"})["VLLM_CPU_KVCACHE_SPACE"] == "8"


def test_the_kind_is_an_installed_build_or_none() -> None:
    assert engine_kind() in ("", "vllm", "vllm-cpu")


def test_the_engines_key_reaches_it_by_the_environment_and_never_by_the_command_line() -> None:
    settings = ServeSettings(engine_key="s3cret")
    assert engine_environment(settings.child_env())["VLLM_API_KEY"] == "s3cret"
    assert "s3cret" not in " ".join(engine_command(settings, "vllm-cpu"))
    assert "VLLM_API_KEY" not in engine_environment(ServeSettings().child_env())


def test_nothing_is_compiled_on_cpu_alone_and_the_user_decides() -> None:
    assert engine_environment({}, "vllm-cpu")["TORCH_COMPILE_DISABLE"] == "1"
    assert "TORCH_COMPILE_DISABLE" not in engine_environment({}, "vllm")
    assert engine_environment({"TORCH_COMPILE_DISABLE": "0"}, "vllm-cpu")["TORCH_COMPILE_DISABLE"] == "0"
