"""The gateway's HTTP side: routes, bodies, connections, and metrics."""
