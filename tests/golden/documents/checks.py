"""Checks of the flow.

See :mod:`heron.rules`.
"""

debug: bool = False
"""Switches :data:`logging.DEBUG` on."""

config_vars = [
    Variable(
        "DENSITY_TARGET",
        float,
        "How full rows may get.",
        default=0.6,
        units="share",
        deprecated_names=["PL_DENSITY", ("TARGET", scale)],
    ),
    Variable("ROW_GAP", int, "Empty rows between macros.", default=2),
]


class Checker:
    """Holds the rules."""

    limit = 3

    def run(self, cell: str) -> int:
        """Returns the number of violations, or raises :exc:`~heron.Missing`."""
        return self.limit
