#!/bin/sh
# One at a time: a second one would let go of what the first one reads.
exec 9<"$0"
flock --nonblock 9 || { echo "$0 is at work already" >&2; exit 75; }

export BORG_REPO=/srv/borg
export BORG_PASSCOMMAND='cat /root/borg-passphrase'

# Let go whatever happens; and if the hold did not last to the end of the backup, say so: that backup is not good.
outcome=failed
trap '@HOLDSTILL@ post @JOB@ --outcome=$outcome || exit $?' EXIT
trap 'kill $!; exit 143' HUP INT TERM
@HOLDSTILL@ pre @JOB@ || exit

# In the background, as a shell hears no signal while it runs a command in the foreground.
borg create '::{hostname}-{now}' @TREES@ &
wait $! && outcome=ok
