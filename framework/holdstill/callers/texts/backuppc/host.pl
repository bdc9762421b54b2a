$Conf{ClientNameAlias} = '127.0.0.1';
$Conf{PingCmd} = '&{sub {1}}';
$Conf{DumpPreUserCmd} = '/usr/bin/sudo -n @HOLDSTILL@ pre @JOB@';
$Conf{DumpPostUserCmd} = '/usr/bin/sudo -n @HOLDSTILL@ post @JOB@';
# Otherwise, BackupPC goes on if «pre» fails, and takes a backup for good if «post» fails.
$Conf{UserCmdCheckStatus} = 1;
$Conf{XferMethod} = 'tar';
$Conf{TarShareName} = ['@TREES@'];
# By root, as the guests' files keep their owners and modes. sudo allows these words alone, in this order. No archive is
# named: Debian's tar then writes to its standard output.
$Conf{TarClientCmd} = '/usr/bin/sudo -n /usr/bin/tar --directory=$shareName --totals';
$Conf{TarFullArgs} = '--create .';
$Conf{TarIncrArgs} = '--newer=$incrDate --create .';
