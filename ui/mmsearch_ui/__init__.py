"""The Streamlit user interface: pages are thin, what they show is worked out in `presenter`."""
