"""Models as files: checkpoints, adapters, vocabularies, and where a parent comes from."""
