#!/bin/sh
# Indexes sample_data into a library of its own and asks it a few things. Called by `make demo`.
set -eu
library=$1
here=$(dirname "$0")/..
cd "$here"

title() {
    printf '\n\033[1m$ %s\033[0m\n' "$1"
}

# A demo that finds nothing (exit code 4) has still been shown; anything else is an error.
ask() {
    command=$1
    query=$2
    shift 2
    title "mmsearch $command \"$query\" $*"
    "$MMSEARCH" "$command" "$query" "$@" --library "$library" || [ $? -eq 4 ]
}

rm -rf "$library"
title "mmsearch index sample_data"
"$MMSEARCH" index sample_data --exclude queries.jsonl --exclude CREDITS.md --exclude README.md \
    --library "$library"
ask search "a castle in the mountains" -n 2
ask search "ask not what your country can do for you" -n 3
ask search "my bicycle chain squeaks" -n 2
ask search "a bee on a flower" -n 2
ask search "people playing music together" -n 3
ask similar sample_data/photos/IMG_0151.jpg --kinds image -n 3
ask similar sample_data/sounds/festival.ogg -n 3
title "mmsearch status"
"$MMSEARCH" status --library "$library"
printf '\nThe library is in %s. Ask it something:\n  %s search "a castle by the water" --library %s\n' \
    "$library" "$MMSEARCH" "$library"
