# What Kopia knows the guests' files by. It stays empty: the files come from a snapshot.
mkdir --parents /srv/holdstill/@JOB@
kopia policy set /srv/holdstill/@JOB@ \
    --before-snapshot-root-action="@HOLDSTILL@ hook --job=@JOB@ --within=5m kopia before" \
    --after-snapshot-root-action="@HOLDSTILL@ hook --job=@JOB@ kopia after" \
    --action-command-timeout=5m --action-command-mode=essential
