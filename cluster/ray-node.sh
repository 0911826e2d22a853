#!/bin/sh
# `ray-node.sh COMMAND...` runs `ray start --block ...`, and ends when the node is of no use any more.
#
# By itself `ray start --block` goes on for ever without its raylet when that has ended with exit code 0, as it does when
# one of its agents has died.

# A `ray start` that is just ending by itself is locked up for ever by a SIGTERM: its handler waits for a lock that is held
# by what it has interrupted (`Node.removal_lock` of Ray 2.60).
end_ray() {
    kill "$ray"
    for _ in 1 2 3 4 5 6 7 8 9 10; do
        kill -0 "$ray" 2>/dev/null || return
        sleep 1 & wait $!
    done
    pkill -KILL -P "$ray"
    kill -KILL "$ray"
}

"$@" &
ray=$!
trap 'end_ray; exit 0' TERM INT
joined=
while kill -0 "$ray" 2>/dev/null; do
    if pgrep -P "$ray" -r DRST -x raylet >/dev/null; then
        [ -n "$joined" ] || echo "the raylet has started" >&2
        joined=yes
    elif [ -n "$joined" ]; then
        echo "the raylet has ended" >&2
        end_ray
        break
    fi
    sleep 1 & wait $! # a sleep in the foreground would hold up the trap
done
wait "$ray"
exit 1
