#!/bin/sh
# `ray-node.sh COMMAND...` runs `ray start --block ...`, and ends when the node is of no use any more.
#
# By itself `ray start --block` goes on for ever without its raylet when that has ended with exit code 0, as it does when
# one of its agents has died.

"$@" &
ray=$!
trap 'kill "$ray"; wait "$ray"; exit 0' TERM INT
joined=
while kill -0 "$ray" 2>/dev/null; do
    if pgrep -P "$ray" -r DRST -x raylet >/dev/null; then
        joined=yes
    elif [ -n "$joined" ]; then
        echo "the raylet has ended" >&2
        kill "$ray"
        break
    fi
    sleep 1 & wait $! # a sleep in the foreground would hold up the trap
done
wait "$ray"
exit 1
