"""Tensors that one parent has in one piece and the other in parts: q, k and v; gate and up; the experts of a mixture.

Only known layouts are mapped, so that each number of one form is a number of the other:

    qkv_proj, Wqkv, ...      rows of q, k and v one after the other, for all heads or for each group of heads
    gate_up_proj             rows of gate, then of up
    experts.gate_up_proj     a stack with a matrix for each expert of a list, as it is or transposed

Nothing is read here: merge.models.rearranged reads one form as the other.

    found = find_fusions(chip.specs, chat.specs, chat.config)  # the chat parent has them in one piece
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from merge.arithmetic.dtypes import FLOATS
from merge.models.checkpoint import TensorSpec
from merge.models.names import find_bare

QKV = re.compile(r"(?P<stem>.*\.)(?P<word>qkv_proj|query_key_value|Wqkv|wqkv|W_pack|c_attn|qkv)\.(?P<end>weight|bias)")
QKV_PARTS = (("q_proj", "k_proj", "v_proj"), ("query", "key", "value"), ("wq", "wk", "wv"), ("q", "k", "v"))
GATE_UP = re.compile(r"(?P<stem>.*\.)(?P<word>gate_up_proj)\.(?P<end>weight|bias)")
GATE_UP_PARTS = (("gate_proj", "up_proj"), ("w1", "w3"))
STACK = re.compile(r"(?P<stem>.*\.experts\.)(?P<word>gate_up_proj|down_proj)(?:\.weight)?")
STACK_PARTS = {"gate_up_proj": GATE_UP_PARTS, "down_proj": (("down_proj",), ("w2",))}
# How q, k and v alternate, by model_type: once for each head, or for each key-value head with the queries that use it.
# Elsewhere all of q come first, then all of k, then all of v (Phi-3, ModernBERT, Baichuan, MPT).
BY_HEAD = ("gpt_neox", "gpt_neox_japanese", "bloom", "persimmon", "fuyu", "minimax")
BY_KEY_HEAD = ("internlm2",)
MULTI_QUERY = ("falcon", "gpt_bigcode")  # all of q, one k, one v; or, where the config says so, by head
OTHERWISE = ("codegen",)  # in an order that is none of these
# The words that stand for any order, so that only a known model_type says which
NEEDS_MODEL = ("query_key_value", "wqkv")
WITHOUT_GROUPS = ("chatglm", "glm")
INTERLEAVED = ("gpt_oss",)  # gate and up alternate by column
HEADS, KEY_HEADS = ("num_attention_heads", "n_head", "n_heads"), ("num_key_value_heads", "num_kv_heads")
TEXT = "text_config"


@dataclass(frozen=True)
class Run:
    """`count` flat elements of a part, from `start` on."""

    part: str
    start: int
    count: int


@dataclass(frozen=True)
class Fusion:
    """A tensor in one piece, and the runs of its parts that it is made of, in order."""

    spec: TensorSpec
    parts: Mapping[str, TensorSpec]
    runs: tuple[Run, ...]
    is_turned: bool = False  # each of its matrices is the transpose of what the runs give

    @property
    def name(self) -> str:
        """Of the tensor in one piece."""
        return self.spec.name


@dataclass
class Fusions:
    """What was found, and why some of it cannot be mapped."""

    exact: list[Fusion] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    refused: set[str] = field(default_factory=set)  # names of both sides that the problems are about

    def refuse(self, spec: TensorSpec, parts: Iterable[TensorSpec], reason: str) -> None:
        """Note what is not mapped."""
        names = [part.name for part in parts]
        self.problems.append(f"{spec.name} would be {_name_parts(names)} in one piece, but {reason}")
        self.refused |= {spec.name, *names}


def find_fusions(
    whole: Mapping[str, TensorSpec], apart: Mapping[str, TensorSpec], config: Mapping[str, Any]
) -> Fusions:
    """Which tensors of `whole` are several of `apart` in one piece. config: of the parent that has them in one piece.

    Names that differ in wrappers' words as well are found (merge.models.names).
    """
    found = Fusions()
    parts = {find_bare(name): spec for name, spec in apart.items() if name not in whole and spec.dtype in FLOATS}
    stacks: list[tuple[TensorSpec, list[list[TensorSpec]]]] = []
    for name, spec in whole.items():
        if name in apart or spec.dtype not in FLOATS:
            continue
        bare = find_bare(name)
        if (match := STACK.fullmatch(bare)) and (experts := _find_experts(match, parts)):
            stacks.append((spec, experts))
        elif (match := QKV.fullmatch(bare)) and (three := _find_parts(match, QKV_PARTS, parts)):
            _join_rows(spec, three, count_groups(match["word"], config), found)
        elif (match := GATE_UP.fullmatch(bare)) and (two := _find_parts(match, GATE_UP_PARTS, parts)):
            _join_rows(spec, two, 1, found)
    _join_stacks(stacks, config, found)
    return found


def count_groups(word: str, config: Mapping[str, Any]) -> int | None:
    """How often q, k and v alternate in a tensor that ends in `word`; None: the model is not known."""
    inner = config.get(TEXT)
    config = inner if isinstance(inner, dict) and "model_type" in inner else config
    model = config.get("model_type")
    heads, key_heads = (
        next((config[key] for key in keys if type(config.get(key)) is int), None) for keys in (HEADS, KEY_HEADS)
    )
    if model in BY_HEAD:
        return heads
    if model in BY_KEY_HEAD:
        return heads if key_heads is None else key_heads
    if model in OTHERWISE:
        return None
    if model in MULTI_QUERY:
        if config.get("new_decoder_architecture"):
            return heads if key_heads is None else key_heads
        return 1 if config.get("multi_query", True) else heads
    return 1 if word not in NEEDS_MODEL or model in WITHOUT_GROUPS else None


def _find_parts(
    match: re.Match[str], words: Iterable[tuple[str, ...]], parts: Mapping[str, TensorSpec]
) -> list[TensorSpec]:
    """The parts of one tensor, by the first of the words that all of them have."""
    for group in words:
        names = [f"{match['stem']}{word}.{match['end']}" for word in group]
        if all(name in parts for name in names):
            return [parts[name] for name in names]
    return []


def _find_experts(match: re.Match[str], parts: Mapping[str, TensorSpec]) -> list[list[TensorSpec]]:
    """The parts of a stack, for each expert of the list."""
    for group in STACK_PARTS[match["word"]]:
        experts = []
        for number in count():
            names = [f"{match['stem']}{number}.{word}.weight" for word in group]
            if not all(name in parts for name in names):
                break
            experts.append([parts[name] for name in names])
        if experts:
            return experts
    return []


def _join_rows(spec: TensorSpec, parts: list[TensorSpec], groups: int | None, found: Fusions) -> None:
    """A tensor of the parts' rows, in `groups` groups."""
    if groups is None:
        return found.refuse(spec, parts, "in which order this model has the rows is not known")
    rows = [part.shape[0] for part in parts]
    columns = parts[0].shape[1:]
    if any(part.shape[1:] != columns for part in parts) or spec.shape != (sum(rows), *columns):
        return found.refuse(spec, parts, f"its shape {list(spec.shape)} is not that of {_list_shapes(parts)} together")
    if groups < 1 or any(number % groups for number in rows):
        return found.refuse(spec, parts, f"{_list_shapes(parts)} do not divide into its {groups} groups of heads")
    width = math.prod(columns)
    runs = [
        Run(part.name, group * (part.shape[0] // groups) * width, part.shape[0] // groups * width)
        for group in range(groups)
        for part in parts
    ]
    found.exact.append(Fusion(spec, {part.name: part for part in parts}, tuple(runs)))
    return None


def _join_stacks(
    stacks: list[tuple[TensorSpec, list[list[TensorSpec]]]], config: Mapping[str, Any], found: Fusions
) -> None:
    """Stacks of experts. Whether they are transposed their shapes say, or else those of the model's other stacks."""
    shapes = [(spec.shape, _stack_shape(experts)) for spec, experts in stacks]
    seen = {
        ours == turn(shape) for ours, shape in shapes if shape and shape[1] != shape[2] and ours in (shape, turn(shape))
    }
    is_turned = seen == {True}
    for (spec, experts), (ours, shape) in zip(stacks, shapes, strict=True):
        parts = [part for expert in experts for part in expert]
        if config.get("model_type") in INTERLEAVED:
            found.refuse(spec, parts, "this model has gate and up column by column")
        elif shape is None or ours != (turn(shape) if is_turned else shape):
            found.refuse(spec, parts, f"its shape {list(spec.shape)} is not that of {len(experts)} experts together")
        elif not seen:
            found.refuse(spec, parts, "its matrices are square: its shape does not say whether they are transposed")
        else:
            runs = tuple(Run(part.name, 0, part.numel) for part in parts)
            found.exact.append(Fusion(spec, {part.name: part for part in parts}, runs, is_turned))


def _stack_shape(experts: list[list[TensorSpec]]) -> tuple[int, int, int] | None:
    """The shape of a stack of the experts' matrices, with the parts of each below one another; None: they differ."""
    [first, *others] = experts
    shapes = [part.shape for part in first]
    is_even = all([part.shape for part in expert] == shapes for expert in others)
    if not is_even or any(len(shape) != 2 or shape[1] != shapes[0][1] for shape in shapes):
        return None
    return len(experts), sum(shape[0] for shape in shapes), shapes[0][1]


def turn(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape of a stack with each matrix transposed."""
    return (*shape[:-2], shape[-1], shape[-2])


def _name_parts(names: list[str]) -> str:
    return ", ".join(names) if len(names) <= len(QKV_PARTS[0]) else f"{names[0]} and {len(names) - 1} more"


def _list_shapes(parts: list[TensorSpec]) -> str:
    return ", ".join(str(list(part.shape)) for part in parts)


def describe_fusions(fusions: Iterable[Fusion], side: str, other: str, *, joins: bool) -> str:
    """What `find_fusions` found, as the beginning of a sentence. joins: whether the side has the parts."""
    found = list(fusions)
    n_parts = sum(len(fusion.parts) for fusion in found)
    whole = f"{len(found)} in one piece, such as {found[0].name}"
    parts = f"{n_parts} tensors in parts, such as {next(iter(found[0].parts))}"
    ours, theirs = (parts, whole) if joins else (whole, parts)
    return f"the {side} parent has {ours}, where the {other} parent has {theirs}"
