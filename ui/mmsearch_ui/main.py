"""The script that Streamlit runs for every visitor: the pages, and which of them is shown."""

from __future__ import annotations

import streamlit as st

from mmsearch_ui import pages
from mmsearch_ui.components import text

# Not one of Streamlit's icons: browsers would fetch that from its maker.
st.set_page_config(page_title="mmsearch", page_icon=text("icon.svg"), layout="wide")
st.html(f"<style>{text('page.css')}</style>")
st.navigation(pages.found(), position="top").run()
