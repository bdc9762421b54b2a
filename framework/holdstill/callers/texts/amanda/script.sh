#!/bin/sh
exec /usr/bin/sudo -n /usr/local/sbin/holdstill-amanda.@JOB@ "$@"
