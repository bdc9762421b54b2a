# The actions in /etc/backup.d/@JOB@ are carried out while the guests are held, and at no other time.
when = everyday at 01:00

outcome=failed
let_go() {
    said=$(@HOLDSTILL@ post @JOB@ --outcome=$outcome 2>&1) || fatal "$said"
}

# Let go whatever happens; PIPE comes when the backupninja that listens to us is ended.
trap let_go EXIT
trap 'exit 143' HUP INT PIPE TERM

said=$(@HOLDSTILL@ pre @JOB@ 2>&1) || fatal "$said"
failures=0
for action in /etc/backup.d/@JOB@/*; do
    /usr/sbin/backupninja --run "$action" || { error "$action failed"; failures=1; }
done
[ $failures = 1 ] || outcome=ok
