"""A question to the passages that answer it, or to the finding that none does."""
