"""Where documents come from: folders, archives and pinned corpora, read in a process that may fail."""
