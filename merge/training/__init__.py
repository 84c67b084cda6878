"""Making a chip model from a chat model: its training data, and the training. This room may import rag."""
