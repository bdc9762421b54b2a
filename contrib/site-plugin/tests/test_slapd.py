"""The plugin, as a single file, and a real slapd."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

SLAPD = "/usr/sbin/slapd"
PLUGIN = Path(__file__).parents[1] / "src" / "holdstill_openldap" / "openldap.py"
ROOT = "gidNumber=0+uidNumber=0,cn=peercred,cn=external,cn=auth"
PATIENCE = 120.0
"Seconds that anything may take on a slow computer."

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="holdstill holds disks as root"),
    pytest.mark.skipif(
        not (Path(SLAPD).exists() and shutil.which("ldapmodify")), reason="needs slapd and ldap-utils"
    ),
]

CONFIG = """\
dn: cn=config
objectClass: olcGlobal
cn: config

dn: cn=module,cn=config
objectClass: olcModuleList
cn: module
olcModulePath: /usr/lib/ldap
olcModuleLoad: back_mdb

dn: cn=schema,cn=config
objectClass: olcSchemaConfig
cn: schema

include: file:///etc/ldap/schema/core.ldif

dn: olcDatabase={{0}}config,cn=config
objectClass: olcDatabaseConfig
olcDatabase: {{0}}config
olcAccess: to * by dn.exact={root} manage

dn: olcDatabase={{1}}mdb,cn=config
objectClass: olcDatabaseConfig
objectClass: olcMdbConfig
olcDatabase: {{1}}mdb
olcSuffix: dc=example,dc=org
olcDbDirectory: {data}
olcDbMaxSize: 33554432
olcAccess: to * by dn.exact={root} manage
"""
JOB = """
guests:
  directory:
    disks: [{folder}/disk.img]
    quiesce:
      - openldap: {{suffix: "dc=example,dc=org", server: "{server}"}}
      - coprocess: {{run: [sh, {folder}/look.sh]}}
    open: []
jobs:
  nightly: {{guests: [directory], backup: {{command: {{run: "sh {folder}/write.sh"}}}}}}
"""


class Slapd:
    """A server of our own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.uri = f"ldapi://{quote(str(folder / 'ldapi'), safe='')}"
        (folder / "config").mkdir()
        (folder / "data").mkdir()
        (folder / "config.ldif").write_text(CONFIG.format(root=ROOT, data=folder / "data"))
        load = ["/usr/sbin/slapadd", "-n", "0", "-F", folder / "config", "-l", folder / "config.ldif"]
        subprocess.run(load, check=True)
        serve = [SLAPD, "-d", "0", "-F", folder / "config", "-h", self.uri]
        self.process = subprocess.Popen(serve, stderr=subprocess.DEVNULL)

    def answers(self) -> bool:
        """Whether it has started."""
        return self.tool("ldapwhoami").returncode == 0

    def tool(self, name: str, *arguments: str, said: str = "") -> subprocess.CompletedProcess[str]:
        """Run one of the LDAP tools as root."""
        argv = [name, "-Q", "-Y", "EXTERNAL", "-H", self.uri, *arguments]
        return subprocess.run(argv, input=said, capture_output=True, text=True, check=False, timeout=PATIENCE)

    @property
    def read_only(self) -> bool:
        """Whether it refuses writes."""
        told = self.tool("ldapsearch", "-LLL", "-b", "cn=config", "(olcSuffix=*)", "olcReadOnly")
        assert told.returncode == 0, told.stderr
        return "olcReadOnly: TRUE" in told.stdout


def eventually(done: Callable[[], bool]) -> None:
    """Wait until something is so."""
    ends = time.monotonic() + PATIENCE
    while not done():
        assert time.monotonic() < ends, "it did not come to that in time"
        time.sleep(0.05)


@pytest.fixture
def slapd() -> Iterator[Slapd]:
    """A server with an empty database, in a folder whose name is short enough for a socket."""
    with tempfile.TemporaryDirectory(prefix="slapd-") as folder:
        made = Slapd(Path(folder))
        try:
            eventually(made.answers)
            yield made
        finally:
            made.process.terminate()
            made.process.wait(PATIENCE)


@pytest.fixture
def holdstill(slapd: Slapd) -> Callable[[str], subprocess.Popen[str]]:
    """What begins a command of a holdstill of its own, which has the plugin as a single file."""
    folder = slapd.folder
    (folder / "disk.img").write_bytes(bytes(1 << 20))
    (folder / "plugins").mkdir(mode=0o755)
    shutil.copyfile(PLUGIN, folder / "plugins" / "openldap.py")
    (folder / "plugins" / "openldap.py").chmod(0o644)
    (folder / "job.yaml").write_text(JOB.format(folder=folder, server=slapd.uri))
    (folder / "job.yaml").chmod(0o600)
    ask = f"ldapsearch -Q -LLL -Y EXTERNAL -H {slapd.uri} -b cn=config '(olcSuffix=*)' olcReadOnly"
    (folder / "look.sh").write_text(
        f"{ask} >{folder}/while-quiet || exit\ncat {folder}/ready\ncat >/dev/null\n"
    )
    (folder / "write.sh").write_text(
        "printf 'dn: dc=example,dc=org\\nobjectClass: dcObject\\nobjectClass: organization\\ndc: example\\no: us\\n' |"
        f" ldapadd -Q -Y EXTERNAL -H {slapd.uri}\n"
    )
    places = {"CONFIG": "job.yaml", "STATE": "state", "TREES": "trees", "PLUGINS": "plugins"}
    environment = os.environ | {f"HOLDSTILL_{name}": str(folder / path) for name, path in places.items()}

    def begin(*words: str) -> subprocess.Popen[str]:
        argv = [sys.executable, "-m", "holdstill", *words]
        return subprocess.Popen(argv, env=environment, stderr=subprocess.PIPE, text=True)

    return begin


def told_while_quiet(slapd: Slapd) -> str:
    """What the server said of itself when the application was to be quiet."""
    told = slapd.folder / "while-quiet"
    return told.read_text() if told.exists() else ""


def test_slapd_refuses_writes_for_the_snapshot_and_takes_them_while_it_is_backed_up(
    slapd: Slapd, holdstill: Callable[..., subprocess.Popen[str]]
) -> None:
    (slapd.folder / "ready").write_text("ready\n")
    run = holdstill("run", "nightly")
    _, said = run.communicate(timeout=PATIENCE)
    assert run.returncode == 0, said
    assert "olcReadOnly: TRUE" in told_while_quiet(slapd)
    assert not slapd.read_only
    assert slapd.tool("ldapsearch", "-b", "dc=example,dc=org", "-s", "base").returncode == 0


def test_killed_while_slapd_refuses_writes_it_takes_them_again_at_once(
    slapd: Slapd, holdstill: Callable[..., subprocess.Popen[str]]
) -> None:
    (slapd.folder / "ready").touch()  # an application that does not become quiet: the run waits for it
    run = holdstill("run", "nightly")
    eventually(lambda: "olcReadOnly: TRUE" in told_while_quiet(slapd))
    run.kill()
    run.communicate(timeout=PATIENCE)
    eventually(lambda: not slapd.read_only)
    recover = holdstill("recover")
    _, said = recover.communicate(timeout=PATIENCE)
    assert recover.returncode == 0, said
