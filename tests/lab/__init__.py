"""The lab: a Debian machine with device-mapper and LVM under QEMU, and tests that run inside it.

``pytest tests/lab``: boots one machine and runs all scenarios in it; each is reported as a test of its own.
``pytest -m "not lab"``: everything that needs no machine.
``python tests/lab/shell.py``: a root shell in such a machine.
``python3 tests/lab/needs.py``: the packages to install before, for ``apt-get install --no-install-recommends``.

A scenario is an ordinary test in ``scenarios/``, with the fixtures of ``scenarios/conftest.py``. It is collected
here and run inside, as root, so its module must be importable on both sides. A test that has to outlive its
machine, such as one that cuts its power, is an ordinary test beside this file with the fixture ``lab_machine``.
"""
