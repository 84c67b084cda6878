"""The gateway's HTTP side: routes, admission, limits, and metrics."""
