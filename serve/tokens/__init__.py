"""How many tokens a conversation has: the served model's tokenizer, its chat template, rendered with limits."""
