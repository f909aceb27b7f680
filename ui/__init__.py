"""The Streamlit user interface, which has yet to be built."""
