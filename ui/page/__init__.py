"""The chat page: Streamlit, and the server around it."""
