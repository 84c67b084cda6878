"""What may be said: the commands, options, variables and messages that the documents themselves describe, each with its
place.

reference = read_reference(chunks)
"""
