# What Kopia knows the guests' files by. It stays empty: the files come from a snapshot.
mkdir --parents /srv/holdstill/nightly
kopia policy set /srv/holdstill/nightly \
    --before-snapshot-root-action="/usr/local/sbin/holdstill hook --job=nightly --within=5m kopia before" \
    --after-snapshot-root-action="/usr/local/sbin/holdstill hook --job=nightly kopia after" \
    --action-command-timeout=5m --action-command-mode=essential
