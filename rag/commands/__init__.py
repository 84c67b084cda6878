"""The commands for documents and for what is trained on them: arguments in, text or one JSON document out."""
