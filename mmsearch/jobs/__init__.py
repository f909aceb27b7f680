"""Jobs that go on in the background, each `mmsearch index` in a process of its own."""

from mmsearch.jobs.job import Job, JobFailure, JobState
from mmsearch.jobs.runner import Jobs, OutsideRoots, TooManyJobs

__all__ = ["Job", "JobFailure", "JobState", "Jobs", "OutsideRoots", "TooManyJobs"]
