"""The script that Streamlit runs for every visitor: registers the pages and shows one."""

from __future__ import annotations

import streamlit as st

from mmsearch_ui import pages
from mmsearch_ui.components import read_text

# Not one of Streamlit's icons: browsers would fetch that from its maker.
st.set_page_config(page_title="mmsearch", page_icon=read_text("icon.svg"), layout="wide")
st.html(f"<style>{read_text('page.css')}</style>")
st.navigation(pages.list_pages(), position="top").run()
