"""The gateway and what runs it: an OpenAI-compatible API with retrieval built in, in front of a vLLM process."""
