"""Whether two parents read text alike: the same tokens under the same ids, and text cut the same way.

Tokenizer files are compared, and the rows of tensors that have one per token; no tensor is read. Which vocabulary the
output has, the recipe says; merge.models.vocabulary matches the rows.

    found = compare_vocabularies(find_vocabulary(chip), find_vocabulary(chat)) + compare_cutting(chip, chat)
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from merge.merging.mismatch import Mismatch
from merge.models.beside import find_companions
from merge.models.checkpoint import TensorSource, read_json_object, read_text
from merge.models.config import names_token
from merge.models.hashing import hash_file
from merge.models.vocabulary import LINES, MERGES, TABLE, TOKENIZER, Vocabulary, read_merges, read_tokens

EMBEDDINGS = re.compile(r"(.+\.)?(embed_tokens|wte|embed_in|word_embeddings|shared|embeddings|tok_embeddings)\.weight")
# Tensors with a row per token, heads and their biases of encoders and of models that predict further tokens among them
VOCABULARY_TENSORS = re.compile(
    rf"{EMBEDDINGS.pattern}|(.+\.)?embed_tokens_per_layer\.weight|decoder\.(weight|bias)|(.+\.)?(lm_head|embed_out"
    r"|proj_out|vocab_projector|generator_lm_head|shared_head\.head|predictions|(lm_head|predictions)\.decoder)"
    r"\.(weight|bias)"
)
# Tokens that a template writes and nobody types: <|im_end|>, [INST]
MARK = re.compile(r"<[^<>\s]+>|\[[A-Z_]+\]")
TRIED = 200  # added tokens with which texts are cut to compare
EXAMPLES = 3  # tokens named in a mismatch
# Parts of a tokenizer.json that decide how text is cut, beside the table and the merges
CUTTING = ("normalizer", "pre_tokenizer")
CUTTING_MODEL = ("type", "byte_fallback", "ignore_merges", "continuing_subword_prefix", "end_of_word_suffix")
# Tokenizers in one file of another form, compared as a whole
WHOLE_FILES = re.compile(r".+\.(model|tiktoken|spm|vocab)|tekken\.json|vocab\.bpe|bpe\.codes|encoder\.json|dict\.txt")
TABLES = (TOKENIZER, TABLE, LINES)
# Of added tokens, how a text around them is cut; and where there is no tokenizer.json, what cuts words
ADDED_FLAGS = ("single_word", "lstrip", "rstrip", "normalized")
CUTTING_KEYS = ("do_lower_case", "strip_accents", "tokenize_chinese_chars", "do_basic_tokenize")
# Where a normalizer or a first cut shows: case, accents, width, digits, spaces, code, scripts
PROBES = (
    "The Set-Up slack of clk_250MHz is -0.125 ns; fix it, don't wait!",
    "  leading  double   spaces\tand\ttabs\n\n\nand lines \r\n",
    "always @(posedge clk) begin\n    if (!rst_n) q <= 8'hFF;\n  end // Ünïcode e\u0301 \u00e9 \ufb01 \uff21\uff22",
    "123456789 3.14e-9 0x1F 時鐘樹 часы ساعة 🙂 a_b-c/d.e:f",
)


def find_vocabulary(source: TensorSource) -> Vocabulary | None:
    """Tokens and embedding rows of a model folder; None without a tokenizer or an embedding of a known name."""
    tokens = read_tokens(source.folder)
    rows = [spec.shape[0] for name, spec in source.specs.items() if EMBEDDINGS.fullmatch(name) and spec.shape]
    return Vocabulary(rows[0], tokens) if tokens is not None and rows else None


def describe_lack(source: TensorSource, side: str) -> str:
    """Why a parent has no vocabulary."""
    if read_tokens(source.folder) is None:
        return (
            f"the {side} parent has no {TOKENIZER}, so its rows cannot be matched by token. Write it with transformers"
        )
    return f"the {side} parent has no embedding of a name that is known, so its rows cannot be matched by token"


def find_embedding(names: Collection[str]) -> str | None:
    """The name of the input embedding, which is also the head where a model ties them."""
    return next((name for name in names if EMBEDDINGS.fullmatch(name)), None)


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


def compare_cutting(chip: Path, chat: Path) -> list[Mismatch]:
    """Differences of two tokenizers in how they cut text into tokens, by their folders.

    Normalizers and first cuts that are written otherwise differ only if they cut PROBES otherwise.
    """
    if (chip / TOKENIZER).is_file() and (chat / TOKENIZER).is_file():
        if hash_file(chip / TOKENIZER) == hash_file(chat / TOKENIZER):
            return []
        ours, theirs = (read_json_object(folder / TOKENIZER) for folder in (chip, chat))
        return [
            Mismatch(f"tokenizer: the parents cut text differently, {what}", "vocab")
            for what in _compare_documents(ours, theirs)
        ]

    rules, settings = map(_read_rules, (chip, chat)), [_read_settings(folder) for folder in (chip, chat)]
    found = []
    if None not in (one := next(rules), other := next(rules)) and one != other:
        found.append(Mismatch(f"tokenizer: the parents cut text differently, {MERGES} differs", "vocab"))
    found += [
        Mismatch(f"tokenizer: the parents cut text differently, {key} is {settings[0][key]!r} and {theirs!r}", "vocab")
        for key, theirs in settings[1].items()
        if key in settings[0] and settings[0][key] != theirs
    ]
    names = [{name for name in find_companions(folder) if WHOLE_FILES.fullmatch(name)} for folder in (chip, chat)]
    advice = f"only {TOKENIZER} can be compared by token. Write both parents' tokenizers with transformers"
    found += [
        Mismatch(f"tokenizer: {name} differs, and {advice} (save_pretrained)")
        for name in sorted(names[0] & names[1])
        if hash_file(chip / name) != hash_file(chat / name)
    ]
    for folder, own in zip((chip, chat), names, strict=True):
        own |= {name for name in TABLES if (folder / name).is_file()}
    if all(names) and not names[0] & names[1] and None in (read_tokens(chip), read_tokens(chat)):
        held = [" and ".join(sorted(own)) for own in names]
        found.append(Mismatch(f"tokenizer: the chip parent has {held[0]}, the chat parent {held[1]}, and {advice}"))
    return found


def _read_rules(folder: Path) -> list[str] | None:
    """The merge rules of a folder's tokenizer, as "a b"; None where it has no file of them."""
    if (folder / TOKENIZER).is_file():
        document = read_json_object(folder / TOKENIZER)
        return [" ".join(rule) for rule in read_merges(document, folder / TOKENIZER)]
    if not (folder / MERGES).is_file():
        return None
    return [line for line in read_text(folder / MERGES).splitlines() if line.strip() and not line.startswith("#ver")]


def _read_settings(folder: Path) -> dict[str, Any]:
    """What tokenizer_config.json says of cutting words."""
    path = folder / "tokenizer_config.json"
    said = read_json_object(path) if path.is_file() else {}
    return {key: said[key] for key in CUTTING_KEYS if said.get(key) is not None}


def _compare_documents(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> Iterator[str]:
    """What of two tokenizer.json makes them cut text differently."""
    merges = [read_merges(one, Path(TOKENIZER)) for one in (ours, theirs)]
    if merges[0] != merges[1]:
        at = next((n for n, pair in enumerate(zip(*merges, strict=False)) if pair[0] != pair[1]), min(map(len, merges)))
        yield f"by other merges from rule {at} on ({len(merges[0])} rules and {len(merges[1])})"
    parts = [
        *(key for key in CUTTING if (ours.get(key) or None) != (theirs.get(key) or None)),
        *(key for key in CUTTING_MODEL if (ours["model"].get(key) or None) != (theirs["model"].get(key) or None)),
    ]
    added = [
        {token["content"]: [bool(token.get(flag)) for flag in ADDED_FLAGS] for token in one.get("added_tokens") or []}
        for one in (ours, theirs)
    ]
    changed = sorted(token for token in {**added[0], **added[1]} if added[0].get(token) != added[1].get(token))
    parts += ["list of added tokens"] if changed else []
    probes = [*PROBES, *(f"a {token} b{token}c" for token in changed[:TRIED])]
    if parts and merges[0] == merges[1] and (probe := _find_probe(ours, theirs, probes)) is not None:
        yield f"by another {' and '.join(parts)}: for example {probe!r}"


def _find_probe(ours: Mapping[str, Any], theirs: Mapping[str, Any], probes: Iterable[str]) -> str | None:
    """A text that both cut differently; None: they cut all probes alike."""
    from tokenizers import Tokenizer

    try:
        one, other = (Tokenizer.from_str(json.dumps(document)) for document in (ours, theirs))
        for probe in (part for text in probes for part in (*text.split(" "), text)):
            if one.encode(probe, add_special_tokens=False).ids != other.encode(probe, add_special_tokens=False).ids:
                return probe
    except Exception:  # the library raises a bare Exception for what it cannot read: then they are not alike
        return PROBES[0]
    return None


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
        if VOCABULARY_TENSORS.fullmatch(name) and spec.shape[:1] != (vocabulary.rows,)
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
        inner = [document, *(value for value in document.values() if isinstance(value, dict))]
        for key, value in (item for level in inner for item in level.items()):
            if names_token(key):
                numbers |= {number for number in (value if isinstance(value, list) else [value]) if type(number) is int}
    needed = {token for token, number in vocabulary.tokens.items() if number in numbers}
    template = read_text(folder / "chat_template.jinja") if (folder / "chat_template.jinja").is_file() else ""
    if not template and (folder / "tokenizer_config.json").is_file():
        template = json.dumps(
            read_json_object(folder / "tokenizer_config.json").get("chat_template") or "", ensure_ascii=False
        )
    return needed | {token for token in vocabulary.tokens if MARK.fullmatch(token) and token in template}
