"""What a page of a PDF holds: letters, lines, columns, tables, and the text of pages that are pictures."""
