"""Whether a turn of a conversation is a question for the documents, or a task on its writer's own text."""
