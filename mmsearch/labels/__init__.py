"""Zero-shot labels: probabilities of given words for a picture or a sound."""

from __future__ import annotations

MIN_PROBABILITY = 0.3
"""Of the tags that 30 labels give to 76 photographs with `mini`, 62 % are right by their captions,
and 57 % of the right ones are found; from 0.5 on it is 70 and 47 %, from 0.15 on 43 and 71 %."""
AT_MOST = 3
