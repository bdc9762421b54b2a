"""A burp of its own: a server on loopback that knows one client, in a folder, with keys made for them."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ...ports import free_ports
from .gate import LIMIT, eventually

BURP = "/usr/sbin/burp"
SERVER, CLIENT = "burpserver", "guests"
KEYS = """
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ca.key -out ca.pem -subj /CN=ca -days 2
for name in {names}; do
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout $name.key -out $name.csr -subj /CN=$name
    openssl x509 -req -in $name.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out $name.pem -days 2
done
openssl genpkey -genparam -algorithm DH -pkeyopt group:ffdhe2048 -out dh.pem
"""
KEYS_OF = """ssl_cert_ca = {folder}/ca.pem
ssl_cert = {folder}/{name}.pem
ssl_key = {folder}/{name}.key
lockfile = {folder}/{name}.lock
syslog = 0
stdout = 1
"""
OF_SERVER = """mode = server
listen = 127.0.0.1:{port}
directory = {folder}/spool
dedup_group = global
clientconfdir = {folder}/clients
working_dir_recovery_method = delete
client_can_force_backup = 1
client_can_list = 1
client_can_restore = 1
keep = 7
ssl_dhfile = {folder}/dh.pem
timer_arg = 20h
"""
OF_CLIENT = """mode = client
server = 127.0.0.1:{port}
cname = {name}
password = secret
progress_counter = 0
ssl_peer_cn = {server}
"""
DEBIANS = "exclude_fs = sysfs\nexclude_fs = tmpfs\n"
"What Debian's configuration of a client has in it, and could leave a guest out by."


class Burp:
    """The server, and how its client is called."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("spool", "clients"):
            (folder / name).mkdir(parents=True)
        (folder / "clients" / CLIENT).write_text("password = secret\n")
        names = f"{SERVER} {CLIENT}"
        subprocess.run(
            ["sh", "-ec", KEYS.format(names=names)],
            cwd=folder,
            capture_output=True,
            check=True,
            timeout=LIMIT,
        )
        [self._port] = free_ports(1)
        self._write(SERVER, OF_SERVER)

    def configure(self, includes: str) -> Path:
        """Write the client's configuration."""
        return self._write(CLIENT, OF_CLIENT, DEBIANS + includes)

    def restore(self, into: Path) -> list[str | Path]:
        """The words that have the client restore the last backup."""
        return [BURP, "-c", self._configuration(CLIENT), "-a", "r", "-d", into]

    @contextmanager
    def served(self) -> Iterator[None]:
        """Have the server run for as long as the block lasts."""
        with (self.folder / "server.out").open("wb") as out:
            self._server = subprocess.Popen(
                [BURP, "-F", "-c", self._configuration(SERVER)],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            eventually(self._listens)
            yield
        finally:
            self.kill_server()

    def kill_server(self) -> None:
        """End the server, with all its children, as the OOM killer would."""
        if self._server.poll() is None:
            os.killpg(self._server.pid, signal.SIGKILL)
            self._server.wait()

    def backups(self) -> list[str]:
        """What the server has; it goes on for a while when the client has ended."""
        of_client = self.folder / "spool" / CLIENT
        eventually(lambda: not (of_client / "lockfile").exists())
        unfinished = {(of_client / name).resolve().name for name in ("working", "finishing")}
        return sorted(path.name for path in of_client.glob("0*") if path.name not in unfinished)

    def log(self) -> str:
        """All that the server has said."""
        return (self.folder / "server.out").read_text()

    def _listens(self) -> bool:
        assert self._server.poll() is None, self.log()
        return f":{self._port:04X} 00000000:0000 0A " in Path("/proc/net/tcp").read_text()

    def _configuration(self, name: str) -> Path:
        return self.folder / f"{name}.conf"

    def _write(self, name: str, text: str, more: str = "") -> Path:
        path = self._configuration(name)
        words = {"folder": self.folder, "port": self._port, "name": name, "server": SERVER}
        path.write_text((text + KEYS_OF).format(**words) + more)
        return path
