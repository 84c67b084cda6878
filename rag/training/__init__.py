"""What is fitted to questions with known answers: adapters, the passage reader, the coefficients of scores."""
