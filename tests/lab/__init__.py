"""The lab: Debian machines with device-mapper, LVM and Xen under QEMU, and tests that run inside them.

``pytest tests/lab``: runs all scenarios in machines of their own; each is reported as a test of its own.
``pytest tests/lab/scenarios/xen``: those that need real Xen, which in emulation take ten minutes.
``pytest -m "not lab"``: everything that needs no machine.
``python tests/lab/shell.py [plain|server|xen]``: a root shell in such a machine, as ``make lab-shell MACHINE=xen``.
``python3 tests/lab/needs.py``: the packages to install before, for ``apt-get install --no-install-recommends``.

A scenario is an ordinary test in ``scenarios/``, with the fixtures of ``scenarios/conftest.py``. It is collected
here and run inside, as root, so its module must be importable on both sides. A test that has to outlive its
machine, such as one that cuts its power, is an ordinary test beside this file with the fixture ``lab_machine``.

There are three kinds of machine, described in ``kinds.py``. Scenarios run in the plain one. Those in
``scenarios/server/`` run in one that has a database and Bacula, which makes its image larger; Debian's own services
wait there to be started. Those in ``scenarios/xen/`` run in the one that boots real Xen: they are in its dom0, and
start guests with ``xl``, whose kernel and initial RAM disk are dom0's own. Such a guest (``scenarios/xen/guest.py``)
has the disk of 2009, a busybox and a first process that writes all the time. Each kind has an image of its own, built
once and kept, and each is booted only when a scenario for it is to run.
"""
