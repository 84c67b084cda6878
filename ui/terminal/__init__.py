"""`chipalign ask`, and the commands that run page and bot."""
