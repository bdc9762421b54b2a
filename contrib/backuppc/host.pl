$Conf{ClientNameAlias} = '127.0.0.1';
$Conf{PingCmd} = '&{sub {1}}';
$Conf{DumpPreUserCmd} = '/usr/bin/sudo -n /usr/local/sbin/holdstill pre nightly';
# BackupPC's word for how the dump went is 1 or 0. It calls no shell, but evaluates what begins with «&», as Perl.
$Conf{DumpPostUserCmd} = '&{sub {
  my $outcome = $_[0]{xferOK} ? "ok" : "failed";
  qx(/usr/bin/sudo -n /usr/local/sbin/holdstill post nightly --outcome=$outcome 2>&1);
}}(@args)';
# Otherwise, BackupPC goes on if «pre» fails, and takes a backup for good if «post» fails.
$Conf{UserCmdCheckStatus} = 1;
$Conf{XferMethod} = 'tar';
$Conf{TarShareName} = ['/run/holdstill/nightly'];
# By root, as the guests' files keep their owners and modes. sudo allows these words alone, in this order. No archive is
# named: Debian's tar then writes to its standard output.
$Conf{TarClientCmd} = '/usr/bin/sudo -n /usr/bin/tar --directory=$shareName --totals';
$Conf{TarFullArgs} = '--create .';
$Conf{TarIncrArgs} = '--newer=$incrDate --create .';
