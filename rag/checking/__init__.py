"""What a model wrote, held against what was found: its sentences, names, numbers and code."""
