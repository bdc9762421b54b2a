#!/bin/sh
# Let go whatever happens: an rsnapshot that fails or is stopped may not do so itself.
trap '@HOLDSTILL@ post @JOB@' EXIT
trap 'exit 143' HUP INT TERM

rsnapshot sync && rsnapshot alpha
