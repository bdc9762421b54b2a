"""The machine's disk: Debian with a stock kernel, built once from packages for each kind of machine."""

from __future__ import annotations

import gzip
import hashlib
import io
import platform
import re
import shutil
import tarfile
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from .cache import cached
from .commands import run
from .kinds import Kind

PACKAGES = [
    "btrfs-progs",
    "dbus",
    "dmeventd",
    "dmsetup",
    "dosfstools",
    "e2fsprogs",
    "fdisk",
    "kmod",
    "kpartx",
    "less",
    "linux-image-amd64",
    "lsof",
    "lvm2",
    "mdadm",
    "procps",
    "psmisc",
    "python3",
    "qemu-utils",
    "rsync",
    "strace",
    "systemd-sysv",
    "thin-provisioning-tools",
    "udev",
    "util-linux-extra",
    "xfsprogs",
    "zstd",
]
# No machine here has such hardware, and its drivers would only make the image larger.
DRIVERS = ["gpu", "infiniband", "media", "net/ethernet", "net/wireless"]
LEFT_OUT = [
    "/usr/share/doc/*",
    "/usr/share/man/*",
    "/usr/share/locale/*",
    "*/lib/modules/*/kernel/sound/*",
    *(f"*/lib/modules/*/kernel/drivers/{kind}/*" for kind in DRIVERS),
]
# They would only compete with the tests for the processor, and make each boot longer.
NOT_WANTED = [
    "apt-daily-upgrade.timer",
    "apt-daily.timer",
    "dev-hugepages.mount",
    "dev-mqueue.mount",
    "dpkg-db-backup.timer",
    "e2scrub_all.timer",
    "e2scrub_reap.service",
    "fstrim.timer",
    "getty@tty1.service",
    "mdcheck_continue.timer",
    "mdcheck_start.timer",
    "mdmonitor-oneshot.timer",
    "modprobe@configfs.service",
    "modprobe@drm.service",
    "modprobe@efi_pstore.service",
    "modprobe@fuse.service",
    "proc-sys-fs-binfmt_misc.automount",
    "sys-fs-fuse-connections.mount",
    "sys-kernel-config.mount",
    "sys-kernel-debug.mount",
    "sys-kernel-tracing.mount",
    "systemd-binfmt.service",
    "systemd-journal-flush.service",
    "systemd-pstore.service",
    "systemd-random-seed.service",
    "systemd-tmpfiles-clean.timer",
    "systemd-update-utmp-runlevel.service",
    "systemd-update-utmp.service",
]
OVERLAY = Path(__file__).parent / "overlay"
DISK_SIZE = 3 * 1024**3


@dataclass(frozen=True)
class Image:
    """A built image: a folder with a disk and what QEMU needs to start it."""

    folder: Path
    kind: Kind

    @property
    def disk(self) -> Path:
        """The root file system, without a partition table."""
        return self.folder / "disk.img"

    @property
    def kernel(self) -> Path:
        """Debian's kernel, as the package has it."""
        return self.folder / "vmlinuz"

    @property
    def initrd(self) -> Path:
        """The initial RAM disk that belongs to the kernel."""
        return self.folder / "initrd.img"

    @property
    def xen(self) -> Path:
        """The hypervisor, where the kind has one: unpacked, as QEMU starts it."""
        return self.folder / "xen"


def image(kind: Kind, tell: Callable[[str], None]) -> Image:
    """Return the image, built now if this version of it never was."""

    def build(folder: Path) -> None:
        tell(f"building the {kind.name} image of Debian {_release()}, once (a minute or two)")
        _build(Image(folder, kind))

    return Image(cached(f"image-{kind.name}-{_release()}-{_key(kind)}", build), kind)


def _key(kind: Kind) -> str:
    made_from = [Path(__file__).read_bytes(), _overlay(), repr((kind.packages, kind.idle)).encode()]
    return hashlib.sha256(b"".join(made_from)).hexdigest()[:12]


def _release() -> str:
    return platform.freedesktop_os_release()["VERSION_CODENAME"]


def _build(fresh: Image) -> None:
    with tempfile.TemporaryDirectory(dir=fresh.folder.parent) as work:
        root = _unpack_debian(Path(work), fresh.kind)
        shutil.copy(_only(root, "boot/vmlinuz-*"), fresh.kernel)
        shutil.copy(_only(root, "boot/initrd.img-*"), fresh.initrd)
        if fresh.kind.xen:
            fresh.xen.write_bytes(gzip.decompress(_only(root, "boot/xen-*.gz").read_bytes()))
        with fresh.disk.open("wb") as empty:
            empty.truncate(DISK_SIZE)
        run("mkfs.ext4", "-q", "-d", root, fresh.disk)


def _unpack_debian(work: Path, kind: Kind) -> Path:
    (work / "overlay.tar").write_bytes(_overlay())
    (work / "apt.conf").write_text(_apt_settings())
    run(
        "mmdebstrap",
        "--mode=root",
        "--variant=minbase",
        f"--include={','.join([*PACKAGES, *kind.packages])}",
        f"--aptopt={work / 'apt.conf'}",
        "--dpkgopt=force-unsafe-io",
        *(f"--dpkgopt=path-exclude={path}" for path in LEFT_OUT),
        # Before the kernel is installed: it makes the initial RAM disk as the overlay says.
        f"--essential-hook=tar-in {work / 'overlay.tar'} /",
        '--customize-hook=chroot "$1" systemctl enable lab-agent.service',
        f'--customize-hook=chroot "$1" systemctl mask {" ".join(NOT_WANTED)}',
        *(f'--customize-hook=chroot "$1" systemctl disable {name}' for name in kind.idle),
        _release(),
        work / "root",
        *_apt_sources(),
    )
    return work / "root"


def _only(root: Path, pattern: str) -> Path:
    (path,) = root.glob(pattern)
    return path


def _overlay() -> bytes:
    """Return a tar file of what is laid over Debian, the same bytes for the same files."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for path in sorted(OVERLAY.rglob("*")):
            tar.add(path, path.relative_to(OVERLAY), recursive=False, filter=_as_roots)
    return buffer.getvalue()


def _as_roots(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.mtime, entry.uid, entry.gid = 0, 0, 0
    entry.uname = entry.gname = "root"
    entry.mode = 0o755 if entry.isdir() else 0o644
    return entry


def _apt_sources() -> list[Path]:
    """Return the files in which this machine's apt names its Debian mirrors."""
    listed = run("apt-get", "indextargets", "--format", "$(ORIGIN) $(SOURCESENTRY)", "Created-By: Packages")
    found = [line.rpartition(" ") for line in listed.splitlines()]
    # Before the first apt-get update apt does not know whose a mirror is.
    return sorted({Path(entry.rpartition(":")[0]) for origin, _, entry in found if origin in {"Debian", ""}})


def _apt_settings() -> str:
    """Return the settings with which this machine's apt reaches its mirrors, such as a proxy."""
    wanted = re.compile(r"Acquire::(Check-|http|Retries|ForceIP)")
    return "\n".join(line for line in run("apt-config", "dump").splitlines() if wanted.match(line)) + "\n"
