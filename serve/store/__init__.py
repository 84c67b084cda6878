"""What the gateway keeps: uploaded files, vector stores, responses and feedback, in SQLite or PostgreSQL."""
