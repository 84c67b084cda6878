"""Documents to an index on the disk: chunks, vectors, postings of words, reference; built, kept up to date, opened."""
