"""The commands about documents and what is trained on them: arguments in, text or one JSON document out."""
