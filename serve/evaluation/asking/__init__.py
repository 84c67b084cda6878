"""What evaluations share: the client of a served model, the file of answers, intervals."""
