"""For tests of plugins: a modelled machine that can fail or die at any command, and real guest disks.

:class:`Machine` is a host that is not there; :class:`Trial` runs jobs on one. What every plugin must stand is in
:mod:`holdstill.testing.conformance`, a class of pytest's to derive from. :mod:`holdstill.testing.disks` makes real
disk images, :mod:`holdstill.testing.guest` a guest that keeps writing to one.
"""

from holdstill.testing.commands.arguments import Arguments, Refused, Tool
from holdstill.testing.contents import (
    FileSystem,
    GuestVolume,
    Nothing,
    Partition,
    PhysicalVolume,
    Qcow2,
    Swap,
    Table,
    classic_disk,
    layered_disk,
    partitioned_disk,
    plain_disk,
)
from holdstill.testing.deaths import every_death
from holdstill.testing.faults import DEATHS, FAILURES, Fault, Killed, Kind
from holdstill.testing.kernel import Map
from holdstill.testing.machine import Machine
from holdstill.testing.shape import Shape, plugins_in
from holdstill.testing.trial import Trial, every_point, trial_in

__all__ = [
    "DEATHS",
    "FAILURES",
    "Arguments",
    "Fault",
    "FileSystem",
    "GuestVolume",
    "Killed",
    "Kind",
    "Machine",
    "Map",
    "Nothing",
    "Partition",
    "PhysicalVolume",
    "Qcow2",
    "Refused",
    "Shape",
    "Swap",
    "Table",
    "Tool",
    "Trial",
    "classic_disk",
    "every_death",
    "every_point",
    "layered_disk",
    "partitioned_disk",
    "plain_disk",
    "plugins_in",
    "trial_in",
]
