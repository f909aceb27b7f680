"""The tools of the MCP server that write: index, and job, which tells how far one is."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Annotated

from anyio import to_thread
from mcp.server.mcpserver import Context
from mcp_types import CallToolResult
from pydantic import Field

from mmsearch.errors import QueryError
from mmsearch.query.filters.parser import folder
from mmsearch.server.mcp.answers import JobAnswer, job_answer
from mmsearch.server.mcp.search_tools import answered, told_errors

if TYPE_CHECKING:
    from mmsearch.jobs import Job, Jobs

MAX_PATHS = 100
MAX_WAIT_S = 50
"""Clients give up on a call after a minute."""

Wait = Annotated[
    int,
    Field(ge=0, le=MAX_WAIT_S, description="Seconds to wait for its end before answering."),
]


class Indexing:
    """The tools, over the jobs of a library, which know below which folders they may index."""

    def __init__(self, jobs: Callable[[], Jobs]) -> None:
        self._jobs = jobs

    async def index(
        self,
        paths: Annotated[
            list[Annotated[str, Field(min_length=1, max_length=4_096)]],
            Field(
                min_length=1, max_length=MAX_PATHS, description="Folders and files, absolute paths."
            ),
        ],
        context: Context,
        wait_s: Wait = 20,
    ) -> Annotated[CallToolResult, JobAnswer]:
        """Bring the library up to date with folders and files below the roots that status lists.

        It goes on in the background when it takes longer than wait_s: ask the tool job how far it
        is. What is unchanged costs nothing, and nothing on disk is touched.
        """
        with told_errors():
            asked = [folder(path) for path in paths]
            started = await to_thread.run_sync(self._jobs().start, asked)
            return await self._at_last(started, wait_s, context)

    async def job(
        self,
        job_id: Annotated[
            str, Field(pattern="^[0-9a-f]{16}$", description="The id that index gave.")
        ],
        context: Context,
        wait_s: Wait = 0,
    ) -> Annotated[CallToolResult, JobAnswer]:
        """Tell how far an indexing job is, what it did, and which files it could not read."""
        with told_errors():
            found = self._jobs().get(job_id)
            if found is None:
                raise QueryError(f"there is no job {job_id}: it is of another run, or long over")
            return await self._at_last(found, wait_s, context)

    async def _at_last(self, job: Job, wait_s: float, context: Context) -> CallToolResult:
        """How a job is at its end, or after a time; progress is told on the way."""
        until_s = time.monotonic() + wait_s
        while not job.is_over and (left_s := until_s - time.monotonic()) > 0:
            await context.report_progress(job.done, job.total, job.step)
            wait = partial(self._jobs().wait_for_change, job.id, job.seq, min(left_s, 1.0))
            later = await to_thread.run_sync(wait)
            if later is None:  # forgotten, being long over
                break
            job = later
        return answered(job_answer(job))
