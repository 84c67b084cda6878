"""Decides which documents and questions are held out of training: only looked at, to see what is learnt.

It needs no library, so that merge can use it where rag's are not installed.

    trained = [document for document in documents if not is_drawn(document.name, one_in=10)]
"""

from __future__ import annotations

import hashlib


def is_drawn(name: str, one_in: int) -> bool:
    """Whether a document or question is one of those that are not trained on: one in so many.

    Its name decides, so that all files and runs agree.
    """
    return int(hashlib.sha256(name.encode()).hexdigest(), 16) % one_in == 0
