"""Who may ask the gateway, and how much at a time."""
