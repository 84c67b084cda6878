"""The processes: starts, watches and stops engine, gateway and page, and measures how fast they are."""
