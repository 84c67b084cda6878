"""Office documents, each a zip of XML, to blocks."""
