"""The tools for hosts of MCP: what each takes, does and gives, over HTTP and over stdio."""
