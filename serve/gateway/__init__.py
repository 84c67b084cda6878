"""The gateway's door: routes, who may come in, how many at once, and what is counted."""
