"""Loaders of mail, mailboxes, saved pages, address books and calendars."""
