"""The tools of the MCP server that write: index, and job, which reports its progress."""

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
from mmsearch.query.filters.parser import parse_folder
from mmsearch.server.mcp.answers import JobToolAnswer, build_job
from mmsearch.server.mcp.search_tools import build_result, raise_tool_errors

if TYPE_CHECKING:
    from mmsearch.jobs import Job, Jobs

MAX_PATHS = 100
MAX_WAIT_S = 50
"""Clients give up on a call after a minute."""

Wait = Annotated[
    int,
    Field(ge=0, le=MAX_WAIT_S, description="Seconds to wait for its end before answering."),
]


class IndexingTools:
    """The tools over the jobs of a library, which hold the folders that may be indexed."""

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
    ) -> Annotated[CallToolResult, JobToolAnswer]:
        """Bring the library up to date with folders and files below the roots that status lists.

        It goes on in the background when it takes longer than wait_s: ask the tool job how far it
        is. What is unchanged costs nothing, and nothing on disk is touched.
        """
        with raise_tool_errors():
            folders = [parse_folder(path) for path in paths]
            job = await to_thread.run_sync(self._jobs().start, folders)
            return await self._wait(job, wait_s, context)

    async def job(
        self,
        job_id: Annotated[
            str, Field(pattern="^[0-9a-f]{16}$", description="The id that index gave.")
        ],
        context: Context,
        wait_s: Wait = 0,
    ) -> Annotated[CallToolResult, JobToolAnswer]:
        """Tell how far an indexing job is, what it did, and which files it could not read."""
        with raise_tool_errors():
            job = self._jobs().get(job_id)
            if job is None:
                raise QueryError(f"there is no job {job_id}: it is of another run, or long over")
            return await self._wait(job, wait_s, context)

    async def _wait(self, job: Job, wait_s: float, context: Context) -> CallToolResult:
        """Answers a job at its end, or after `wait_s`; reports progress until then."""
        until_s = time.monotonic() + wait_s
        while not job.is_over and (remaining_s := until_s - time.monotonic()) > 0:
            await context.report_progress(job.done, job.total, job.step)
            wait = partial(self._jobs().wait_for_change, job.id, job.seq, min(remaining_s, 1.0))
            changed = await to_thread.run_sync(wait)
            if changed is None:  # forgotten, being long over
                break
            job = changed
        return build_result(build_job(job))
