"""Finds mails, cards, calendars and notebooks among files of text, by how they begin."""

from __future__ import annotations

import re

from mmsearch.media.strings import split_words

_CARDS = re.compile(r"\s*BEGIN[ \t]*:[ \t]*(VCARD|VCALENDAR)[ \t]*\n", re.I)
_NOTEBOOK_KEYS = re.compile(
    r'"(cells|worksheets)"\s*:\s*\[|"nbformat"\s*:\s*\d|"cell_type"\s*:\s*"|"metadata"\s*:\s*\{'
)
_NOTEBOOK_SUFFIX = ".ipynb"
_FIELD = re.compile(r"([!-9;-~]{1,100})[ \t]*:")
_MAIL_SUFFIXES = frozenset({".eml", ".emlx", ".mht", ".mhtml"})
_MAILBOX_SUFFIXES = frozenset({".mbox", ".mbx"})
# Texts that may begin like a mail: notes with a letterhead, patches by mail, sources.
_TEXT_SUFFIXES = frozenset(
    split_words(
        ".txt .text .md .markdown .rst .log .csv .json .xml .patch .diff .py .c .h .yml .yaml .srt"
    )
)
_EMLX_COUNT = re.compile(r"\d{1,12}[ \t]*\n")
_MAILBOX_START = re.compile(
    r"From \S.*\d\d:\d\d.*\n>?[!-9;-~]{1,100}:|From \S+@\S+.*\n[!-9;-~]{1,100}:"
)
# Fields that no letter on paper has, and those that it may have too.
_TRANSPORT = frozenset(
    split_words(
        "mime-version message-id received return-path delivered-to dkim-signature x-uid"
        " x-received received-spf authentication-results arc-seal arc-message-signature"
    )
)
_COMMON = frozenset(
    split_words("""
    from to cc subject date reply-to sender content-type content-transfer-encoding in-reply-to
    references content-location snapshot-content-location
    """)
)


def find_text_format(start: str, suffix: str) -> str | None:
    """Returns the loader of a text that begins with `start`: "mail", "cards", "notebook"; or None.

    `start` has Unix newlines; `suffix`, in lower case, breaks ties.
    """
    if _CARDS.match(start):
        return "cards"
    if _is_notebook(start, suffix):
        return "notebook"
    return "mail" if _is_mail(start.lstrip("\n"), suffix) else None


def _is_notebook(start: str, suffix: str) -> bool:
    if not start.lstrip().startswith("{"):
        return False
    keys = {
        match[0].partition('"')[2].partition('"')[0] for match in _NOTEBOOK_KEYS.finditer(start)
    }
    if suffix == _NOTEBOOK_SUFFIX:
        return bool(keys)
    # The version often comes last: a cell then tells a notebook from other JSON with cells.
    return "cells" in keys and bool(keys & {"nbformat", "cell_type"})


def _is_mail(start: str, suffix: str) -> bool:
    if suffix in _TEXT_SUFFIXES and suffix not in (".txt", ".text"):
        return False
    is_mail_name = suffix in _MAIL_SUFFIXES
    if _MAILBOX_START.match(start):
        return True
    if suffix in _MAILBOX_SUFFIXES and start.startswith("From "):
        return True
    count = _EMLX_COUNT.match(start)
    names = _list_fields(start[count.end() :] if count else start)
    known = names & (_COMMON | _TRANSPORT)
    if is_mail_name:
        return bool(known)
    return bool(names & _TRANSPORT) and len(known) >= 3


def _list_fields(start: str) -> set[str]:
    """Returns the names of the fields before the first line that is none, in lower case."""
    names: set[str] = set()
    for line in start.split("\n"):
        if line[:1] in (" ", "\t") and names and line.strip():
            continue
        match = _FIELD.match(line)
        if match is None:
            break
        names.add(match[1].lower())
    return names
