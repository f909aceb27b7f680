"""What a library is made of, from its tables and arrays: no file is read.

Each is made of a snapshot when it is first wanted and kept with it.
"""

from mmsearch.analytics.asset_counts import Counts, Length, Month, Named, Ranked, counts
from mmsearch.analytics.disk_usage import Part, disk
from mmsearch.analytics.duplicate_groups import Copies, Duplicates, copies, duplicates
from mmsearch.analytics.folder_tree import Folder, folders
from mmsearch.analytics.map_places import Pin, Places, places
from mmsearch.analytics.projection import Chart, Method, Point, chart, charted_spaces
from mmsearch.analytics.tags import top_tags

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
