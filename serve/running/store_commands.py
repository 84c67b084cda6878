"""The command `chipalign store`: what a gateway has stored, the feedback that it kept, and what is to be forgotten.

It changes no file and no vector store: the API does.

    chipalign store feedback --out feedback.jsonl
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rag.command_line import whole_number, write_json, write_jsonl
from serve.errors import ServeError, StoreFull, StoreUnavailable
from serve.settings import ServeSettings

if TYPE_CHECKING:
    from serve.store.database import Database
    from serve.store.feedback import Rating

SECOND_US = 1_000_000


def store(argv: list[str]) -> int:
    """`chipalign store show | feedback | purge`.

    Raises:
        ServeError: the store cannot be read or written.
        SettingsError, OutputUnwritable
    """
    from serve.store.database import open_database

    args = _parser().parse_args(argv)
    database = open_database(ServeSettings.from_env())
    try:
        if args.action == "show":
            result = _show(database)
        elif args.action == "feedback":
            result = _write_feedback(database, args.out)
        else:
            result = _purge(database, args.days)
    except (StoreUnavailable, StoreFull) as error:
        raise ServeError(f"{error}") from error
    finally:
        database.close()
    if args.json:
        write_json(result)
    else:
        sys.stdout.write("".join(f"{name}: {_worded(value)}\n" for name, value in result.items()))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="chipalign store", description="See what a gateway has stored, take its feedback out, forget what is old."
    )
    actions = parser.add_subparsers(dest="action", required=True)
    actions.add_parser("show", help="how much is stored, and how answers were rated by day")
    feedback = actions.add_parser(
        "feedback", help="the feedback whose words were kept, for `adapt triplets --feedback`"
    )
    feedback.add_argument("--out", type=Path, required=True, metavar="FILE", help="one JSON object a line")
    purge = actions.add_parser(
        "purge", help="delete stored responses, conversations and kept feedback; the counts stay"
    )
    purge.add_argument(
        "--days", type=whole_number(0, 36_500), required=True, metavar="N", help="older than so many; 0: all"
    )
    for each in actions.choices.values():
        each.add_argument("--json", action="store_true", help="one JSON document on stdout")
    return parser


def _show(database: Database) -> dict[str, Any]:
    from serve.store import files, vector_stores
    from serve.store.feedback import Feedback

    ratings = Feedback(database)
    with database.transaction(writes=False) as read:
        [(responses,)] = read.rows("SELECT COUNT(*) FROM responses")
        [(conversations,)] = read.rows("SELECT COUNT(*) FROM conversations")
        [(kept,)] = read.rows("SELECT COUNT(*) FROM feedback")
        counts = {
            "files": len(files.list_all(read)),
            "bytes": files.total_bytes(read),
            "vector_stores": len(vector_stores.list_all(read)),
            "responses": int(responses),
            "conversations": int(conversations),
            "feedback": int(kept),
        }
    return {**counts, "ratings": ratings.counts()}


def _write_feedback(database: Database, out: Path) -> dict[str, Any]:
    """Write the feedback that has words. Raises OutputUnwritable."""
    from serve.store.feedback import Feedback

    ratings = Feedback(database).ratings()
    write_jsonl(out, map(_as_row, ratings))
    return {"feedback": str(out), "count": len(ratings)}


def _as_row(rating: Rating) -> dict[str, Any]:
    return {
        "answer_id": rating.answer_id,
        "rating": rating.rating,
        "question": rating.question,
        "answer": rating.answer,
        "correction": rating.correction,
        "reason": rating.reason,
        "said": datetime.fromtimestamp(rating.created_us / SECOND_US, UTC).isoformat(timespec="seconds"),
    }


def _purge(database: Database, days: int) -> dict[str, Any]:
    from serve.store.database import now_us
    from serve.store.retention import DAY_US, delete_before

    return asdict(delete_before(database, now_us() - days * DAY_US))


def _worded(value: Any) -> str:
    """A count, or the ratings by day."""
    if not isinstance(value, dict):
        return str(value)
    days = (
        f"{day} {', '.join(f'{count} {rating}' for rating, count in counts.items())}" for day, counts in value.items()
    )
    return "; ".join(days) or "none"
