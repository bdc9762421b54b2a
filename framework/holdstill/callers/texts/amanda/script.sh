#!/bin/sh
# Answered without holdstill: after a failed dump, Amanda gives a few seconds for all that comes before the last call.
if [ "$1" = support ]; then
    printf '%s\n' 'CONFIG YES' 'HOST YES' 'DISK YES' 'MESSAGE-LINE YES' 'MESSAGE-XML NO' 'EXECUTE-WHERE YES' 'TIMESTAMP YES'
    exit
fi
exec /usr/bin/sudo -n /usr/local/sbin/holdstill-amanda.@JOB@ "$@"
