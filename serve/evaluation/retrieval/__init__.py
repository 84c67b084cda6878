"""`chipalign eval retrieval`: measures what the search finds."""
