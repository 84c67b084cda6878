"""Whether two parents are one architecture, and what decides it where they differ, before any tensor is read.

Configs, tokenizers and headers are compared; every mismatch is listed at once, each with the recipe setting that
decides it. Nothing is truncated, padded or tied here: merge.merging.plan says what a setting means for each tensor.
Names that differ only in a prefix are made the same where the recipe says so (merge.models.names).

A merge in which the parents share less than SMALLEST_SHARE of the weights is refused, whatever the recipe says
(find_share).

    pair = check_pair(chip, chat, recipe)  # raises ParentsMismatch
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from merge.arithmetic.dtypes import FLOATS, WHOLE
from merge.errors import ParentsMismatch, shorten
from merge.models.checkpoint import DESCRIBED, TensorSource, TensorSpec, read_json_object, read_text
from merge.models.names import Renamed, describe_names, is_leftover, match_names
from merge.models.vocabulary import TOKENIZER, RowMap, Vocabulary, match_rows, read_tokens
from merge.recipe import DECISIONS, Recipe

# What must agree for the weights to mean the same in both models. max_position_embeddings is only a limit: it may
# differ.
STRUCTURE_KEYS = tuple(
    """
    model_type architectures hidden_size intermediate_size num_hidden_layers num_attention_heads num_key_value_heads
    head_dim num_local_experts num_experts num_experts_per_tok
    """.split()
)
# What may differ if the recipe says whose setting the output takes.
SETTING_KEYS = (
    "hidden_act",
    "attention_bias",
    "mlp_bias",
    "sliding_window",
    "rms_norm_eps",
    "partial_rotary_factor",
    "logits_soft_cap",
)
DECIDED_KEYS = {
    "vocab_size": "vocab",
    "tie_word_embeddings": "embeddings",
    "rope": "config",
    **dict.fromkeys(SETTING_KEYS, "config"),
}
ROPE_THETA = 10000.0  # the default of transformers
HEAD = "lm_head.weight"
EMBEDDINGS = re.compile(r"(.+\.)?(embed_tokens|wte|embed_in|word_embeddings)\.weight")
# Tensors with a row per token.
VOCABULARY_TENSORS = re.compile(r"(.+\.)?(embed_tokens|wte|embed_in|word_embeddings|lm_head|embed_out)\.(weight|bias)")
# Tokens that a template writes and nobody types: <|im_end|>, [INST]
MARK = re.compile(r"<[^<>\s]+>|\[[A-Z_]+\]")
EXAMPLES = 3  # tokens named in a mismatch
# Below it, most of the output would be a copy of one parent, because names or tokens do not fit.
SMALLEST_SHARE = 0.5


@dataclass(frozen=True)
class Pair:
    """Two parents that can be merged, and the row map of their vocabularies where these differ."""

    chip: TensorSource
    chat: TensorSource
    base: TensorSource | None = None
    rows: RowMap | None = None  # None: row n is the same token in all parents
    chip_vocab: Vocabulary | None = None  # None: no tokenizer
    chat_vocab: Vocabulary | None = None
    more: Mapping[str, TensorSource] = field(default_factory=dict)  # further parents, by side

    @property
    def lacks_head(self) -> bool:
        """Whether one of them has lost its head: a tensor of the other parent alone, which `unmatched` decides."""
        return has_lost_head(self.chip) or has_lost_head(self.chat)

    @property
    def ties_differ(self) -> bool:
        """Whether only one parent's head is its embedding: the case that `embeddings` decides."""
        if self.lacks_head:
            return False
        stored = (HEAD in self.chip.specs) != (HEAD in self.chat.specs)
        said = {
            bool(source.config["tie_word_embeddings"])
            for source in (self.chip, self.chat)
            if "tie_word_embeddings" in source.config
        }
        return stored or len(said) == 2


@dataclass(frozen=True)
class Mismatch:
    """One difference, and the recipe setting that would decide it; None: no setting does."""

    text: str
    setting: str | None = None
    allowed: tuple[str, ...] = ()  # the values that decide it; empty: all but "refuse"

    def describe(self) -> str:
        """The sentence for the person who wrote the recipe."""
        if self.setting is None:
            return self.text
        allowed = " | ".join(f'"{value}"' for value in self.allowed or DECISIONS[self.setting][1:])
        return f"{self.text} (decide it with {self.setting} = {allowed})"

    def is_open(self, recipe: Recipe | None) -> bool:
        """Whether the recipe leaves it undecided."""
        return (
            self.setting is None
            or recipe is None
            or getattr(recipe, self.setting) not in (self.allowed or DECISIONS[self.setting][1:])
        )


def check_pair(
    chip: TensorSource, chat: TensorSource, recipe: Recipe | None = None, base: TensorSource | None = None
) -> Pair:
    """The pair of two parents that can be merged. Without a recipe, every difference is undecided.

    A base model must match the chat parent; its vocabulary may have other rows, but must have those of both parents.

    Raises ParentsMismatch: with every difference that the recipe leaves undecided.
    """
    chip, chat, base, renamed = align_names(chip, chat, base, "refuse" if recipe is None else recipe.names)
    chip_vocab, chat_vocab, base_vocab = (
        None if source is None else find_vocabulary(source) for source in (chip, chat, base)
    )

    found = compare_configs(chip.config, chat.config, by_name=not renamed) + renamed
    found += compare_vocabularies(chip_vocab, chat_vocab)
    found += compare_specs(chip.specs, chat.specs, lacks_head=has_lost_head(chip) or has_lost_head(chat))
    if find_share(chip.specs, chat.specs) < SMALLEST_SHARE:
        found = [mismatch for mismatch in found if mismatch.setting != "unmatched"] + [
            describe_strangers(chip.specs, chat.specs)
        ]

    open_ones = [mismatch.describe() for mismatch in found if mismatch.is_open(recipe)]
    rows = None
    open_ones += (without_rows := check_ids(chat_vocab))
    if (
        not without_rows
        and recipe is not None
        and recipe.vocab != "refuse"
        and any(mismatch.setting == "vocab" for mismatch in found)
    ):
        if chip_vocab is None or chat_vocab is None:
            side = "chip" if chip_vocab is None else "chat"
            open_ones.append(
                f"the {side} parent has no {TOKENIZER}, so its rows cannot be matched by token. Write it with "
                "transformers"
            )
        else:
            rows = match_rows(recipe.vocab, chip_vocab, chat_vocab, base_vocab)
            open_ones += check_rows({"chip": (chip, chip_vocab), "chat": (chat, chat_vocab)})
            open_ones += check_takeover(recipe.vocab, chip, chat, chip_vocab, chat_vocab)
            if not open_ones and (share := find_share(chip.specs, chat.specs, rows)) < SMALLEST_SHARE:
                open_ones.append(
                    f"the vocabularies share {rows.shared} of {max(chip_vocab.rows, chat_vocab.rows)} rows, so that "
                    f"only {share:.0%} of the weights would be combined ({SMALLEST_SHARE:.0%} are needed). Give "
                    "parents of one vocabulary"
                )

    if recipe is not None and recipe.uses_base:
        open_ones += check_base(base, chat, rows, base_vocab, chat_vocab)

    if open_ones:
        raise ParentsMismatch(open_ones)
    return Pair(chip, chat, base, rows, chip_vocab, chat_vocab)


def align_names(
    chip: TensorSource, chat: TensorSource, base: TensorSource | None, names: str
) -> tuple[TensorSource, TensorSource, TensorSource | None, list[Mismatch]]:
    """The sources with the tensor names of the parent that `names` gives, and what was renamed for it.

    "refuse" is for a comparison: it takes the chat parent's.
    """
    found = []
    if renamed := match_names(chip.specs, chat.specs):
        sides = (("chat", renamed.values()), ("chip", renamed.keys()))
        found.append(
            Mismatch(
                describe_names(renamed, "chip", "chat"),
                "names",
                tuple(side for side, named in sides if not is_leftover(named)),
            )
        )
        if names == "chip":
            chat = Renamed(chat, {theirs: ours for ours, theirs in renamed.items()})
        else:
            chip = Renamed(chip, renamed)
    if base is not None and (renamed := match_names(base.specs, chat.specs)):
        found.append(Mismatch(describe_names(renamed, "base", "chat"), "names"))
        base = Renamed(base, renamed)
    return chip, chat, base, found


def find_share(chip: Mapping[str, TensorSpec], chat: Mapping[str, TensorSpec], rows: RowMap | None = None) -> float:
    """The part of the larger parent's weights that the other parent has too, from 0 to 1: what can be combined.

    Counted in elements of floating-point tensors of the same name, against all such elements of the parent that has
    more of them. rows: of tensors with a row per token, only the rows that both vocabularies have count. What the
    recipe keeps out of the merge by patterns, or copies by lam = 0 or 1, counts as shared: that is on purpose.
    """
    shared = 0
    for name in chip.keys() & chat.keys():
        if chip[name].dtype in FLOATS and chat[name].dtype in FLOATS:
            by_row = rows is not None and bool(VOCABULARY_TENSORS.fullmatch(name))
            row = math.prod(chip[name].shape[1:])
            shared += rows.shared * row if rows is not None and by_row else min(chip[name].numel, chat[name].numel)
    larger = max(sum(spec.numel for spec in specs.values() if spec.dtype in FLOATS) for specs in (chip, chat))
    return shared / larger if larger else 1.0


def describe_strangers(chip: Mapping[str, TensorSpec], chat: Mapping[str, TensorSpec]) -> Mismatch:
    """A mismatch for parents whose names do not fit: no setting can merge them."""
    sides = [
        (side, by_number(ours.keys() - theirs.keys()))
        for side, ours, theirs in (("chip", chip, chat), ("chat", chat, chip))
    ]
    examples = " and ".join(f"{len(names)} in the {side} parent, such as {names[0]}" for side, names in sides if names)
    return Mismatch(
        f"only {find_share(chip, chat):.0%} of the weights have the same name in both parents ({SMALLEST_SHARE:.0%} are"
        f" needed); without a counterpart are {examples}. Rename the one parent's tensors as the other's are, or give "
        "two models of one architecture"
    )


def find_vocabulary(source: TensorSource) -> Vocabulary | None:
    """Tokens and embedding rows of a model folder; None without a tokenizer or an embedding of a known name."""
    tokens = read_tokens(source.folder)
    rows = [spec.shape[0] for name, spec in source.specs.items() if EMBEDDINGS.fullmatch(name) and spec.shape]
    return Vocabulary(rows[0], tokens) if tokens is not None and rows else None


def compare_configs(
    chip: Mapping[str, Any], chat: Mapping[str, Any], side: str = "chip", *, by_name: bool = True
) -> list[Mismatch]:
    """Differences of two config.json; tensor shapes decide for a key that one of them leaves out.

    side: what the first is. by_name: whether the tensors have the same names. Otherwise `architectures` names another
    class around the same tensors.
    """
    found = []
    for key in (*STRUCTURE_KEYS, "vocab_size", "tie_word_embeddings", *SETTING_KEYS):
        if key in chip and key in chat and chip[key] != chat[key]:
            setting = "names" if key == "architectures" and not by_name else DECIDED_KEYS.get(key)
            found.append(Mismatch(f"config {key}: {side} {_brief(chip[key])}, chat {_brief(chat[key])}", setting))
    if (ours := describe_rope(chip)) != (theirs := describe_rope(chat)):
        found.append(Mismatch(f"config rope: {side} {_brief(ours)}, chat {_brief(theirs)}", DECIDED_KEYS["rope"]))
    for whose, config in ((side, chip), ("chat", chat)):
        if method := config.get("quantization_config"):
            name = _brief(method.get("quant_method", "unknown") if isinstance(method, dict) else method)
            found.append(
                Mismatch(
                    f"config quantization_config: the {whose} parent is quantised ({name}), give its unquantised "
                    "weights"
                )
            )
    return found


def _brief(value: object) -> str:
    return shorten(str(value), DESCRIBED)


def describe_rope(config: Mapping[str, Any]) -> dict[str, Any]:
    """The rotary embedding's settings, from rope_parameters (transformers 5) or rope_theta and rope_scaling (before).

    Values of unexpected types are compared as they are.
    """
    said = config.get("rope_parameters") or config.get("rope_scaling") or {}
    rope = dict(said) if isinstance(said, dict) else {"rope_parameters": said}
    theta = rope.get("rope_theta") or config.get("rope_theta") or ROPE_THETA
    rope["rope_theta"] = float(theta) if isinstance(theta, int | float) else theta
    rope["rope_type"] = rope.pop("type", None) or rope.get("rope_type") or "default"
    return dict(sorted(rope.items()))


def compare_vocabularies(chip: Vocabulary | None, chat: Vocabulary | None, side: str = "chip") -> list[Mismatch]:
    """Tokens that only one parent has, or that have other ids in the other.

    Parents without a tokenizer are compared by their rows alone.
    """
    if chip is None or chat is None or chip.tokens == chat.tokens:
        return []

    found = []
    for text, tokens in (
        (f"only the {side} parent has", chip.tokens.keys() - chat.tokens.keys()),
        ("only the chat parent has", chat.tokens.keys() - chip.tokens.keys()),
        (
            "the parents give other ids to",
            {token for token in chip.tokens.keys() & chat.tokens.keys() if chip.tokens[token] != chat.tokens[token]},
        ),
    ):
        if tokens:
            ids = {**chat.tokens, **chip.tokens}
            names = ", ".join(repr(token) for token in sorted(tokens, key=lambda token: (ids[token], token))[:EXAMPLES])
            more = ", ..." if len(tokens) > EXAMPLES else ""
            found.append(
                Mismatch(
                    f"tokenizer: {text} {len(tokens)} token{'' if len(tokens) == 1 else 's'}: {names}{more}", "vocab"
                )
            )

    return found


def compare_specs(
    chip: Mapping[str, TensorSpec], chat: Mapping[str, TensorSpec], *, lacks_head: bool = False
) -> list[Mismatch]:
    """Differences of names, shapes and kinds of dtype; two float dtypes do not differ, each is widened as it is read.

    lacks_head: whether the parent without a head lost it; its embedding is then not the head as well.
    """
    found = []
    for side, ours, theirs in (("chip", chip, chat), ("chat", chat, chip)):
        for name in by_number(ours.keys() - theirs.keys()):
            setting = "embeddings" if name == HEAD and find_embedding(theirs) and not lacks_head else "unmatched"
            found.append(Mismatch(f"tensor {name} is in the {side} parent only", setting))

    for name in by_number(chip.keys() & chat.keys()):
        a, b = chip[name], chat[name]
        if a.shape != b.shape:
            by_rows = (
                bool(VOCABULARY_TENSORS.fullmatch(name))
                and len(a.shape) == len(b.shape) > 0
                and a.shape[1:] == b.shape[1:]
            )
            found.append(
                Mismatch(
                    f"tensor {name}: chip has shape {list(a.shape)}, chat {list(b.shape)}", "vocab" if by_rows else None
                )
            )

        both_float = a.dtype in FLOATS and b.dtype in FLOATS
        both_whole = a.dtype in WHOLE and a.dtype == b.dtype
        if not both_float and not both_whole:
            rule = f"merged: {', '.join(FLOATS)}; copied if the same: {', '.join(WHOLE)}"
            found.append(Mismatch(f"tensor {name}: chip is {a.dtype}, chat {b.dtype} ({rule})"))

    return found


def find_embedding(names: Collection[str]) -> str | None:
    """The name of the input embedding, which is also the head where a model ties them."""
    return next((name for name in names if EMBEDDINGS.fullmatch(name)), None)


def has_lost_head(source: TensorSource) -> bool:
    """Whether the config says that the head is a tensor of its own, and that tensor is missing.

    That happens when a model is saved from its inner model, which has no head.
    """
    return (
        HEAD not in source.specs
        and source.config.get("tie_word_embeddings") is False
        and find_embedding(source.specs) is not None
    )


def check_ids(chat: Vocabulary | None) -> list[str]:
    """Ids of the chat parent's tokenizer that have no row: the output would fail at the first such token."""
    if chat is None or chat.after_last <= chat.rows:
        return []
    without = {token: number for token, number in chat.tokens.items() if number >= chat.rows}
    first = min(without, key=lambda token: without[token])
    return [
        f"tokenizer: {len(without)} of the chat parent's tokens have no row in its embedding of {chat.rows}, the first "
        f"is {first!r} with id {without[first]}. Give the tokenizer that belongs to the weights"
    ]


def check_rows(sides: Mapping[str, tuple[TensorSource, Vocabulary]]) -> list[str]:
    """Tensors with a row per token whose number of rows is not the embedding's.

    No row of such a tensor can be found by token.
    """
    return [
        f"tensor {name} of the {side} parent has {spec.shape[0]} rows, its embedding {vocabulary.rows}. Give a parent "
        "whose rows agree"
        for side, (source, vocabulary) in sides.items()
        for name, spec in source.specs.items()
        if VOCABULARY_TENSORS.fullmatch(name) and spec.shape[0] != vocabulary.rows
    ]


def check_takeover(
    vocab: str, chip: TensorSource, chat: TensorSource, chip_vocab: Vocabulary, chat_vocab: Vocabulary
) -> list[str]:
    """What speaks against the recipe's vocab.

    The chip parent may lack tokens that chatting needs, or the tokenizers cannot be joined.
    """
    if vocab == "chip" and (lost := sorted(find_chat_tokens(chat, chat_vocab) - chip_vocab.tokens.keys())):
        names = ", ".join(map(repr, lost[:EXAMPLES])) + (", ..." if len(lost) > EXAMPLES else "")
        return [
            f'vocab = "chip" drops {len(lost)} tokens that the chat parent\'s template or settings need: {names}. Use'
            ' vocab = "union"'
        ]
    if vocab == "union":
        for side, source in (("chip", chip), ("chat", chat)):
            if not (source.folder / TOKENIZER).is_file() or not isinstance(
                read_json_object(source.folder / TOKENIZER)["model"]["vocab"], dict
            ):
                return [
                    f'vocab = "union" needs a {TOKENIZER} with ids of its own, and the {side} parent has none. Use'
                    ' vocab = "chat" or "chip"'
                ]
    return []


def find_chat_tokens(chat: TensorSource, vocabulary: Vocabulary) -> set[str]:
    """The tokens that the chat template writes, and those that config and generation config name by id."""
    folder = chat.folder
    documents = [
        dict(chat.config),
        *(read_json_object(path) for path in (folder / "generation_config.json",) if path.is_file()),
    ]
    numbers: set[int] = set()
    for document in documents:
        for key, value in document.items():
            if key.endswith("_token_id"):
                numbers |= {number for number in (value if isinstance(value, list) else [value]) if type(number) is int}
    needed = {token for token, number in vocabulary.tokens.items() if number in numbers}
    template = read_text(folder / "chat_template.jinja") if (folder / "chat_template.jinja").is_file() else ""
    if not template and (folder / "tokenizer_config.json").is_file():
        template = json.dumps(
            read_json_object(folder / "tokenizer_config.json").get("chat_template") or "", ensure_ascii=False
        )
    return needed | {token for token in vocabulary.tokens if MARK.fullmatch(token) and token in template}


def check_base(
    base: TensorSource | None,
    chat: TensorSource,
    rows: RowMap | None,
    base_vocab: Vocabulary | None,
    chat_vocab: Vocabulary | None,
) -> list[str]:
    """Reasons why a base model does not fit these parents."""
    if base is None:
        return ["the method needs a base model. Set [base] model"]
    found = [
        f"base model, {found.text}"
        for found in compare_configs(base.config, chat.config, "base")
        if found.setting is None
    ]

    by_token = rows is not None and base_vocab is not None
    # Its embedding is its head
    tied = HEAD not in base.specs and find_embedding(base.specs) is not None and not has_lost_head(base)
    head = HEAD in chat.specs and tied
    found += [
        f"base model, tensor {name} is not there"
        for name in by_number(chat.specs.keys() - base.specs.keys() - ({HEAD} if head else set()))
    ]

    for name in by_number(chat.specs.keys() & base.specs.keys()):
        ours, theirs = base.specs[name], chat.specs[name]
        if ours.shape != theirs.shape and not (
            by_token and VOCABULARY_TENSORS.fullmatch(name) and ours.shape[1:] == theirs.shape[1:]
        ):
            found.append(f"base model, tensor {name}: base has shape {list(ours.shape)}, chat {list(theirs.shape)}")
        if ours.dtype not in FLOATS + WHOLE:
            found.append(f"base model, tensor {name} is {ours.dtype} (known: {', '.join(FLOATS + WHOLE)})")

    if rows is None and base_vocab and chat_vocab:
        found += [f"base model, {found.text}" for found in compare_vocabularies(base_vocab, chat_vocab, "base")]
    if rows is not None and (
        lacking := sum(
            run.count for run in rows.runs if run.chip is not None and run.chat is not None and run.base is None
        )
    ):
        found.append(
            f"base model: it has no rows for {lacking} of the tokens that both parents have. Give the model that both "
            "were trained from"
        )

    return found


def by_number(names: Collection[str]) -> list[str]:
    """Names in the order that people expect: layers.2 before layers.10."""
    return sorted(
        names, key=lambda name: [(int(part) if part.isdigit() else -1, part) for part in re.split(r"(\d+)", name)]
    )
