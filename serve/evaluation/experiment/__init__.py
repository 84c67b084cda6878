"""`chipalign eval table` and `sweep`: models and their merges compared."""
