"""A chip model made of a chat model: what it learns from, and the training. This room may import rag."""
