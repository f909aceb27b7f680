"""Jobs that go on in the background, each `mmsearch index` in a process of its own."""

from mmsearch.jobs.job import Failure, Job, State
from mmsearch.jobs.runner import Jobs, OutsideRoots, TooManyJobs

__all__ = ["Failure", "Job", "Jobs", "OutsideRoots", "State", "TooManyJobs"]
