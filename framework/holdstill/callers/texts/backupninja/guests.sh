# The actions in /etc/backup.d/@JOB@ are carried out while the guests are held, and at no other time.
when = everyday at 01:00

let_go() {
    said=$(@HOLDSTILL@ post @JOB@ 2>&1) || fatal "$said"
}

# Let go whatever happens; PIPE comes when the backupninja that listens to us is ended.
trap let_go EXIT
trap 'exit 143' HUP INT PIPE TERM

said=$(@HOLDSTILL@ pre @JOB@ 2>&1) || fatal "$said"
for action in /etc/backup.d/@JOB@/*; do
    /usr/sbin/backupninja --run "$action" || error "$action failed"
done
