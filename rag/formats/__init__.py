"""Files of every kind to blocks: one file here for each format, none of which knows another; `parser` chooses."""
