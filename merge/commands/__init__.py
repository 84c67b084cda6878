"""`chipalign merge`: arguments in, a checkpoint, pictures or figures out."""
