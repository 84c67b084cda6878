"""The gateway's counters in Prometheus' form, in a registry of their own, so that two apps in one process stay apart.

It measures nothing itself; the routes do.

    metrics = Metrics(); metrics.requests.labels("/v1/chat/completions", "200").inc()
"""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


class Metrics:
    """The gateway's counters and histograms."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "chipalign_requests", "Requests by path and status.", ["path", "status"], registry=self.registry
        )
        self.in_flight = Gauge(
            "chipalign_requests_in_flight", "Chat requests being answered now.", registry=self.registry
        )
        self.retrieval_s = Histogram(
            "chipalign_retrieval_seconds", "Time to find the passages.", buckets=SECONDS, registry=self.registry
        )

        self.ttft_s = Histogram(
            "chipalign_ttft_seconds",
            "Time from the request to the first token.",
            buckets=SECONDS,
            registry=self.registry,
        )

        self.searches = Counter(
            "chipalign_searches",
            "Questions searched, by the query that found passages.",
            ["found_by"],
            registry=self.registry,
        )
        self.nothing_found = Counter(
            "chipalign_nothing_found", "Questions for which no passage was relevant.", registry=self.registry
        )

        self.feedback = Counter(
            "chipalign_feedback", "What people said of answers.", ["rating"], registry=self.registry
        )
        self.connections = Gauge("chipalign_connections", "Open connections to the gateway.", registry=self.registry)
        self.cut_off = Counter(
            "chipalign_connections_cut_off",
            "Connections that a limit ended, by limit.",
            ["limit"],
            registry=self.registry,
        )
        self.broken_streams = Counter(
            "chipalign_broken_streams", "Answers that ended in an error after their first byte.", registry=self.registry
        )

    def render(self) -> bytes:
        """The page that Prometheus scrapes."""
        return generate_latest(self.registry)
