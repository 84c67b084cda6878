"""What engineers touch: the chat page and the `ask` command.

It speaks HTTP to the gateway and imports none of our other packages.
"""
