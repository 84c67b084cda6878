"""Which lam: questions with two goals, trials of merges in memory, what is best, and whether that holds."""
