"""The description of the API in OpenAPI 3.1, and the page that shows it."""
