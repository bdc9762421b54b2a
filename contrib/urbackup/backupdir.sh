# A link in a guest must not lead to files of the host; and with no snapshot there is no backup.
urbackupclientctl add-backupdir --path /run/holdstill/nightly --no-follow-symlinks --require-snapshot
