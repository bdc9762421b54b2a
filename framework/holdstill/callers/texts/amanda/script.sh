#!/bin/sh
exec /usr/bin/sudo -n @HOLDSTILL@ hook --job=@JOB@ amanda "$@"
