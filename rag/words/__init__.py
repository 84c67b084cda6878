"""What engineers say and what documents say: words, phrases, slips of a finger."""
