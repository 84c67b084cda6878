"""The processes: engine, gateway and page started, watched and stopped; and how fast they are."""
