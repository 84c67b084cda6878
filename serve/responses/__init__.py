"""OpenAI's Responses API as a translation of chat: requests in, response objects and events out."""
