"""What a library is made of, from its tables and arrays: no file is read.

Each is made of a snapshot when it is first wanted and kept with it.
"""

from mmsearch.survey.disk import Part, disk
from mmsearch.survey.figures import Counts, Length, Month, Named, Ranked, counts
from mmsearch.survey.pins import Pin, Places, places
from mmsearch.survey.plane import Chart, Method, Point, chart, charted_spaces
from mmsearch.survey.repeats import Copies, Duplicates, copies, duplicates
from mmsearch.survey.tags import top_tags
from mmsearch.survey.tree import Folder, folders

__all__ = [
    "Chart",
    "Copies",
    "Counts",
    "Duplicates",
    "Folder",
    "Length",
    "Method",
    "Month",
    "Named",
    "Part",
    "Pin",
    "Places",
    "Point",
    "Ranked",
    "chart",
    "charted_spaces",
    "copies",
    "counts",
    "disk",
    "duplicates",
    "folders",
    "places",
    "top_tags",
]
