"""Two parents to one checkpoint: paired, planned, merged piece by piece, verified and described."""
