"""POST /v1/files: a form whose file goes to the disk while it arrives, within limits of size, time and number.

`multipart` reads the form, and `uploads` keeps the file.

    uploaded = await receive_upload(request, library)
"""

from __future__ import annotations

import asyncio
import re
from functools import partial
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from serve.errors import BodyTooSlow, RequestError, TooManyInFlight
from serve.request_body import shorten
from serve.uploads.files import begin_upload, check_space, keep_upload
from serve.uploads.library import Library
from serve.uploads.multipart import FRAME_BYTES, UploadForm, too_large

PIECE_TIMEOUT_S = 30.0  # longest silence of who sends
UPLOAD_TIMEOUT_S = 3600.0
MOST_UPLOADS = 8  # that arrive at a time
PURPOSES = ("assistants", "batch", "fine-tune", "vision", "user_data", "evals")
EXPIRES_ANCHOR, EXPIRES_S = "expires_after[anchor]", "expires_after[seconds]"
LEAST_S, MOST_S = 3600, 2_592_000  # OpenAI's limits of a file's life
_SECONDS = re.compile(r"[0-9]{1,7}")


class Uploads:
    """Counts the uploads that arrive now."""

    def __init__(self) -> None:
        self._arriving = 0

    async def receive(self, request: Request, library: Library) -> dict[str, Any]:
        """The object of a file that was uploaded, or nothing of it is kept.

        Raises UploadsOff, RequestError, BodyTooLarge, BodyTooSlow, TooManyInFlight, StoreFull, StoreUnavailable.
        """
        library.check_uploads()
        most_bytes = library.settings.upload_mb * 2**20
        announced = int(request.headers.get("content-length") or 0)
        if announced > most_bytes + FRAME_BYTES:
            raise too_large(most_bytes)
        if self._arriving >= MOST_UPLOADS:
            raise TooManyInFlight(f"{MOST_UPLOADS} files are being uploaded, as many as may be: try again soon.")
        self._arriving += 1
        try:
            await run_in_threadpool(check_space, library, announced)
            return await _receive(request, library, most_bytes)
        finally:
            self._arriving -= 1


async def _receive(request: Request, library: Library, most_bytes: int) -> dict[str, Any]:
    form = UploadForm(request.headers.get("content-type", ""), partial(begin_upload, library), most_bytes)
    try:
        await _read_in_time(request, form)
        upload = form.finish()
        purpose, expires_s = _read_fields(form.fields)
        return await run_in_threadpool(keep_upload, library, upload, purpose, expires_s)
    except BaseException:
        if form.upload:
            form.upload.incoming.abort()
        raise


async def _read_in_time(request: Request, form: UploadForm) -> None:
    try:
        async with asyncio.timeout(UPLOAD_TIMEOUT_S):
            await _read_pieces(request, form)
    except TimeoutError:
        raise BodyTooSlow(f"The file did not arrive within {UPLOAD_TIMEOUT_S:.0f} s.") from None


async def _read_pieces(request: Request, form: UploadForm) -> None:
    pieces = request.stream()
    while True:
        try:
            async with asyncio.timeout(PIECE_TIMEOUT_S):
                piece = await anext(pieces, None)
        except TimeoutError:
            raise BodyTooSlow(f"Nothing of the file arrived for {PIECE_TIMEOUT_S:.0f} s.") from None
        if piece is None:
            return
        await run_in_threadpool(form.write, piece)


def _read_fields(fields: dict[str, str]) -> tuple[str, int | None]:
    """Purpose and life in seconds. Raises RequestError."""
    purpose = fields.get("purpose")
    if purpose not in PURPOSES:
        said = "is missing" if purpose is None else f"is {shorten(purpose)}"
        raise RequestError(f"'purpose' {said}: give one of {', '.join(PURPOSES)}.", "purpose")
    if EXPIRES_S not in fields and EXPIRES_ANCHOR not in fields:
        return purpose, None
    if fields.get(EXPIRES_ANCHOR) != "created_at":
        raise RequestError("'expires_after.anchor' must be created_at.", "expires_after.anchor")
    seconds = fields.get(EXPIRES_S, "")
    if not (_SECONDS.fullmatch(seconds) and LEAST_S <= int(seconds) <= MOST_S):
        raise RequestError(
            f"'expires_after.seconds' is {shorten(seconds)}: give a number from {LEAST_S} to {MOST_S}.",
            "expires_after.seconds",
        )
    return purpose, int(seconds)
