#!/bin/sh
# One at a time: a second one would let go of what the first one reads.
exec 9<"$0"
flock --nonblock 9 || { echo "$0 is at work already" >&2; exit 75; }

# Let go whatever happens. What is still held then was not let go of by rsnapshot, as it failed or was stopped.
trap '/usr/local/sbin/holdstill post nightly --outcome=failed' EXIT
trap 'exit 143' HUP INT TERM

rsnapshot sync && rsnapshot alpha
