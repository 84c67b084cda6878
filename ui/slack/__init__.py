"""The Slack bot: questions heard over Socket Mode, answers in threads."""
