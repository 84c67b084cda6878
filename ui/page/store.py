"""Conversations kept for a reload of the page, in the memory of its process, each under an id that nobody can guess.

It writes nothing to disk: a restart forgets all, "New conversation" forgets one, and it drops by itself what is old or
too much.

    store = ConversationStore(); conversation_id = store.keep("", turns); store.find(conversation_id)
"""

from __future__ import annotations

import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from ui.conversation import Conversation, Turn

MAX_AGE_S = 12 * 3600.0  # since its last change: a working day with its evening
MAX_CONVERSATIONS = 1000
MAX_CHARS = 50_000_000  # about 4000 turns with three passages of 3000 characters each; at most 200 MB


@dataclass(frozen=True)
class _Kept:
    """A conversation, its size in characters, and when it was last changed."""

    turns: Conversation
    chars: int
    changed_s: float


class ConversationStore:
    """Conversations by id, bounded in age, number and size; safe to use from several threads. `clock` gives seconds."""

    def __init__(
        self,
        max_age_s: float = MAX_AGE_S,
        max_conversations: int = MAX_CONVERSATIONS,
        max_chars: int = MAX_CHARS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._max_age_s = max_age_s
        self._max_conversations = max_conversations
        self._max_chars = max_chars
        self._clock = clock
        self._kept: OrderedDict[str, _Kept] = OrderedDict()  # the one that was changed last stands last
        self._chars = 0
        self._lock = threading.Lock()

    def keep(self, conversation_id: str, turns: Conversation) -> str:
        """Keep `turns` and return the id to find them by: the given one if it is known here, else a new one.

        It never takes an id chosen elsewhere. Where the total is too large, it forgets the conversations unchanged for
        longest; this one stays.
        """
        kept = _Kept(turns, sum(count_chars(turn) for turn in turns), self._clock())
        with self._lock:
            self._forget_old()
            known = self._drop(conversation_id)
            conversation_id = conversation_id if known else secrets.token_urlsafe()  # 256 bits
            self._kept[conversation_id] = kept
            self._chars += kept.chars
            while len(self._kept) > 1 and (len(self._kept) > self._max_conversations or self._chars > self._max_chars):
                self._drop(next(iter(self._kept)))
        return conversation_id

    def find(self, conversation_id: str) -> Conversation | None:
        """The conversation of this id; None where it is unknown or forgotten."""
        with self._lock:
            self._forget_old()
            kept = self._kept.get(conversation_id)
        return kept.turns if kept else None

    def forget(self, conversation_id: str) -> None:
        """Keep this conversation no longer."""
        with self._lock:
            self._drop(conversation_id)

    def _forget_old(self) -> None:
        now_s = self._clock()
        while self._kept and now_s - next(iter(self._kept.values())).changed_s > self._max_age_s:
            self._drop(next(iter(self._kept)))

    def _drop(self, conversation_id: str) -> bool:
        """Take one out; returns whether it was there."""
        dropped = self._kept.pop(conversation_id, None)
        self._chars -= dropped.chars if dropped else 0
        return dropped is not None


def count_chars(turn: Turn) -> int:
    """The characters of a turn that take memory: question, answer and passages."""
    return len(turn.question) + len(turn.answer) + sum(len(source.text) for source in turn.sources)
