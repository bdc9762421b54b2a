"""A qcow2 image and the files that back it, as qemu-img(1) reads their headers, one at a time.

Never the whole chain at once: qemu-img would guess the format of a backing file whose format is not written.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import msgspec

from holdstill.plugin import Host

SECTOR = 512


class Layer(msgspec.Struct, frozen=True, kw_only=True):
    """One file."""

    path: str
    size: int
    "How many bytes a guest sees, in whole sectors, as the kernel's NBD has it."
    backing: str = ""
    "The file beneath."
    backing_name: str = ""
    "The same as it is written: relative to this file's folder, perhaps."
    backing_format: str = ""
    data_file: str = ""
    "Where the data are, if not in the same file."
    encrypted: bool = False

    @property
    def unfit(self) -> str:
        """Say why this cannot be read; empty if it can."""
        if self.data_file:
            return (
                f"{self.path} keeps its data in {self.data_file}: a copy of it would show the live guest's data. "
                "Convert it to an image without a data file («qemu-img convert -O qcow2»)."
            )
        if self.encrypted:
            return f"{self.path} is encrypted, which 'qcow2' does not read; use the guest's own backup."
        if self.backing and not self.backing_format:
            return (
                f"{self.path} does not say of which format its backing file {self.backing} is. It is never guessed. "
                "With the guest shut down, write it down: "
                f"«qemu-img rebase -u -F FORMAT -b {self.backing_name} {self.path}»."
            )
        return ""


def layers_of(path: str, host: Host) -> Iterator[Layer]:
    """Give an image and what backs it, until the first that is no qcow2 or does not say of which format the next is."""
    layer = layer_of(path, host)
    yield layer
    if layer.backing_format == "qcow2":
        yield from layers_of(layer.backing, host)


def layer_of(path: str, host: Host) -> Layer:
    """Read one image's header, also while a guest runs on it."""
    answer = host.ask("qemu-img", "info", "--force-share", "--format=qcow2", "--output=json", path)
    told = json.loads(answer.out)
    return Layer(
        path=path,
        size=told["virtual-size"] // SECTOR * SECTOR,
        backing=told.get("full-backing-filename", ""),
        backing_name=told.get("backing-filename", ""),
        backing_format=told.get("backing-filename-format", ""),
        data_file=told.get("format-specific", {}).get("data", {}).get("data-file", ""),
        encrypted=told.get("encrypted", False),
    )
