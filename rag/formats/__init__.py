"""Files of every kind to blocks: one file for each format, independent of the others; `parser` chooses."""
