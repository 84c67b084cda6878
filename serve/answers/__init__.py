"""From a chat request to what answers it: prompt, engine, checks on the way back."""
