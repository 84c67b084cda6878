"""Every `chipalign eval`: what is asked of whom, what the answers are worth, and with what certainty."""
