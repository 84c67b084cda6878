"""`chipalign eval retrieval`: what the search finds."""
