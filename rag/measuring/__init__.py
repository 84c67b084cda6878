"""What reading, embedding and searching cost, measured."""
