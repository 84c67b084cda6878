"""What evaluations share: a served model as they see it, the file of answers, intervals."""
