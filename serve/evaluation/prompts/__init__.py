"""`chipalign eval prompts`: which prompts are questions for the documents."""
