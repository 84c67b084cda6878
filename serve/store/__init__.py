"""What is kept: files, vector stores, responses, conversations and feedback, in SQLite or PostgreSQL."""
