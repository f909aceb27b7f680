"""Move photographs into one folder a month, by the date on which they were taken.

Usage: python sort_photos.py FOLDER [--dry-run]

The date is read from the EXIF data of the picture. A picture without one stays where it is.
"""

from __future__ import annotations

import argparse
import shutil
from datetime import datetime
from pathlib import Path

from PIL import Image

EXIF_IFD = 0x8769
DATE_TIME_ORIGINAL = 0x9003


def date_taken(path: Path) -> datetime | None:
    """Return when the picture was taken, or None where the file does not say."""
    with Image.open(path) as image:
        value = image.getexif().get_ifd(EXIF_IFD).get(DATE_TIME_ORIGINAL)
    if not value:
        return None
    try:
        return datetime.strptime(str(value).strip("\0 "), "%Y:%m:%d %H:%M:%S")
    except ValueError:
        return None


def unique(target: Path) -> Path:
    """Return a name that is still free, adding _1, _2 and so on: nothing is ever overwritten."""
    candidate, number = target, 0
    while candidate.exists():
        number += 1
        candidate = target.with_stem(f"{target.stem}_{number}")
    return candidate


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--dry-run", action="store_true", help="only print what would be moved")
    args = parser.parse_args()

    for path in sorted(args.folder.glob("*.jp*g")):
        taken = date_taken(path)
        if taken is None:
            print(f"{path.name}: no date, left alone")
            continue
        target = unique(args.folder / f"{taken:%Y-%m}" / path.name)
        print(f"{path.name} -> {target.relative_to(args.folder)}")
        if not args.dry_run:
            target.parent.mkdir(exist_ok=True)
            shutil.move(path, target)


if __name__ == "__main__":
    main()
