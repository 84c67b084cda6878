"""`chipalign eval qa`: answers beside reference answers."""
