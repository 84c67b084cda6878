"""serve.request_ids: a client's own id is kept where it is harmless, and each task knows only its own."""

from __future__ import annotations

import asyncio
import contextvars
import re

from serve.request_ids import begin_request, current_request_id
from tests.rows import for_each


def begin(given: str) -> str:
    """The id in a context of its own, as each request has one."""
    return contextvars.copy_context().run(begin_request, given)


@for_each("given", ["a", "7", "req_1.2:3-4", "X" * 128, "550e8400-e29b-41d4-a716-446655440000"])
def test_a_harmless_id_of_a_client_is_kept(given: str) -> None:
    assert begin(given) == given


@for_each(
    "given",
    [
        "",
        " ",
        "a b",
        "a\n",
        "a\r\nset-cookie: x",
        "a\x00",
        "\x1b[2J",
        "schlüssel",
        "١٢٣",
        "a/b",
        'a"',
        "a,b",
        "X" * 129,
    ],
)
def test_an_id_that_could_steer_a_header_or_a_log_gives_way_to_a_new_one(given: str) -> None:
    made = begin(given)
    assert re.fullmatch(r"[0-9a-f]{32}", made)
    assert begin(given) != made


def test_outside_of_requests_there_is_no_id() -> None:
    assert contextvars.Context().run(current_request_id) is None


def test_tasks_that_take_turns_keep_their_own_ids() -> None:
    async def answer(given: str) -> list[str | None]:
        begin_request(given)
        seen = [current_request_id()]
        for _ in range(3):
            await asyncio.sleep(0)
            seen.append(current_request_id())
        seen.append(await asyncio.to_thread(current_request_id))
        return seen

    async def answer_all() -> list[list[str | None]]:
        return await asyncio.gather(*(answer(f"req-{number}") for number in range(4)))

    assert asyncio.run(answer_all()) == [[f"req-{number}"] * 5 for number in range(4)]
