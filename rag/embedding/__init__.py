"""Texts to vectors, by a model in this process or behind a server; and a model that reads question with passage."""
