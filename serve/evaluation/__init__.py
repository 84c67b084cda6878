"""Every `chipalign eval`: which model gets which questions, what the answers are worth, and how certain that is."""
