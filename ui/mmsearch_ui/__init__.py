"""The web pages, in Streamlit; pages are thin, and the `_view` and `_cards` modules are pure."""
