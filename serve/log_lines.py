"""Log lines whose content can neither break them in two nor steer a terminal.

It sets no level and no destination.

    handler.setFormatter(LineFormatter("%(levelname)s %(message)s"))
"""

from __future__ import annotations

import logging

from rag.printable import printable


class LineFormatter(logging.Formatter):
    """One line per record, with tracebacks below it, whatever the message holds."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 (the name is logging's)
        """The message on one line."""
        return printable(super().formatMessage(record))

    def formatException(self, ei: logging._SysExcInfoType) -> str:  # noqa: N802 (the name is logging's)
        """The traceback, each line of it printable."""
        return "\n".join(printable(line) for line in super().formatException(ei).split("\n"))
