"""Counts, maps and duplicates over a whole library, from its tables and arrays.

Each is computed from a snapshot at first use and kept with it.
"""

from mmsearch.analytics.asset_counts import (
    AssetCounts,
    LengthCount,
    MonthCount,
    NamedCount,
    TopValues,
    count_assets,
)
from mmsearch.analytics.disk_usage import DiskUsage, measure_disk_usage
from mmsearch.analytics.duplicate_groups import (
    Copies,
    DuplicateGroups,
    find_copies,
    find_duplicates,
)
from mmsearch.analytics.folder_tree import FolderCount, list_folders
from mmsearch.analytics.map_places import MapPlaces, Pin, list_places
from mmsearch.analytics.projection import (
    MapPoint,
    Projection,
    ProjectionMethod,
    list_spaces,
    project_space,
)
from mmsearch.analytics.tags import count_top_tags

__all__ = [
    "AssetCounts",
    "Copies",
    "DiskUsage",
    "DuplicateGroups",
    "FolderCount",
    "LengthCount",
    "MapPlaces",
    "MapPoint",
    "MonthCount",
    "NamedCount",
    "Pin",
    "Projection",
    "ProjectionMethod",
    "TopValues",
    "count_assets",
    "count_top_tags",
    "find_copies",
    "find_duplicates",
    "list_folders",
    "list_places",
    "list_spaces",
    "measure_disk_usage",
    "project_space",
]
