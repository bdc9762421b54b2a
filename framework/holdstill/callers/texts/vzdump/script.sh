#!/bin/sh
# vzdump gives no PATH.
export PATH=/usr/sbin:/usr/bin:/sbin:/bin

# Here the guests' files are read; if that fails, so does vzdump's job, which is then called job-abort.
if test "$1" = job-end; then
    export PBS_REPOSITORY=backup@pbs!holdstill@pbs.example:store
    export PBS_PASSWORD_FILE=/root/pbs-token
    proxmox-backup-client backup @JOB@.pxar:@TREES@ --all-file-systems true || exit
fi

exec @HOLDSTILL@ hook --job=@JOB@ vzdump "$@"
