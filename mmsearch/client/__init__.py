"""A library behind a running `mmsearch serve`, searched as one on this machine is."""

from mmsearch.client.remote_library import RemoteLibrary

__all__ = ["RemoteLibrary"]
