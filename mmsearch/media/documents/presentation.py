"""Reads PowerPoint presentations (Office Open XML) slide by slide, as a stream."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from mmsearch.media.base import Content, Described, LoadOptions
from mmsearch.media.documents.document_archive import DocumentArchive
from mmsearch.media.documents.document_text import DocumentText
from mmsearch.media.documents.embedded_pictures import EmbeddedPictures
from mmsearch.media.documents.office_package import (
    find_main_part,
    find_related,
    read_drawing,
    read_drawn_lines,
    read_properties,
)
from mmsearch.types import Modality

_PRESENTATION = "ppt/presentation.xml"
_SLIDE_PART = re.compile(r"ppt/slides/slide\d+\.xml", re.IGNORECASE)


class PresentationLoader:
    """PPTX, PPTM, PPSX, POTX: slides as pages, hidden ones too.

    Tables, groups, charts, diagrams, notes and comments are read with their slide.
    """

    name = "presentation"

    def load(self, path: Path, options: LoadOptions) -> Iterator[Content]:
        """Yields Described, passages and larger pictures of each slide, and what was left out."""
        with DocumentArchive(path, options.limits) as archive:
            text = DocumentText(path, options.limits, "slide")
            slides = list(text.guard(_find_slides(archive), "the list of slides"))
            slides = slides or sorted(
                filter(_SLIDE_PART.fullmatch, archive.list_names()), key=lambda n: (len(n), n)
            )
            yield Described(Modality.TEXT, read_properties(archive, "pptx", len(slides)))
            pictures = EmbeddedPictures(options, text)
            for at in text.limit_pages(len(slides)):
                if not text.is_full:
                    yield from text.split(_read_slide(archive, slides[at], text, at + 1), at + 1)
                for name in find_related(archive, slides[at], "image"):
                    yield from pictures.load_member(archive, name, at + 1)
            yield from text.finish()


def _find_slides(archive: DocumentArchive) -> Iterator[str]:
    """Yields the names of the parts of the slides in their order; "" for a missing one."""
    main = find_main_part(archive, _PRESENTATION)
    parts = {each.id: each.target for each in archive.read_relationships(main)}
    for event in archive.parse(main, has_namespaces=True):
        if event.kind == "start" and event.value.endswith(" sldId"):
            # Slides have an id, and the id of a relationship in a namespace.
            ids = [id_ for key, id_ in event.attributes.items() if key.endswith(" id")]
            yield parts.get(ids[0], "") if ids else ""


def _read_slide(
    archive: DocumentArchive, slide: str, text: DocumentText, page: int
) -> Iterator[str]:
    yield from text.guard(read_drawing(archive, slide), f"slide {page}")
    for part in find_related(archive, slide, "notesSlide"):
        yield from text.guard(read_drawing(archive, part), f"the notes of slide {page}")
    for part in find_related(archive, slide, "comments"):
        lines = read_drawn_lines(archive.parse(part))
        yield from text.guard(lines, f"the comments of slide {page}")
