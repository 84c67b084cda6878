"""`chipalign eval ifeval`, `mcq` and `multiturn`: a served model by itself."""
