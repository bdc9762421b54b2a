# holdstill: «make demo» shows it, «make test» tests it; both set up what they need.

VENV := .venv
PYTHON := $(VENV)/bin/python
READY := $(VENV)/.ready

.PHONY: demo test test-scenarios test-host test-others campaign check model lab lab-shell bench bench-callers \
	bench-lab docs install-units lock clean packages lab-packages caller-packages database-packages fleet-packages

demo: $(READY) packages
	$(PYTHON) contrib/demo/demo.py

# Of the lab's scenarios a quarter, drawn anew each time; «make lab» runs all. Two processors are enough for its three
# parts at once: a machine has work for one of them, while tests on the host wait for more than half of their time.
test: $(READY) packages lab-packages caller-packages database-packages fleet-packages check
	HOLDSTILL_LAB_SHARE=4 HOLDSTILL_LAB_MACHINES=1 $(MAKE) --jobs=3 test-scenarios test-host test-others

# The parts of «test», which has set up what they need.
test-scenarios:
	$(PYTHON) -m pytest tests/lab/scenarios

test-host:
	$(PYTHON) -m pytest tests/host

# Models and documentation, then the lab's tests that cut the power.
test-others:
	$(PYTHON) -m pytest tests --ignore=tests/lab/scenarios --ignore=tests/host

# What «test» takes samples of, at length: hours, in emulation. HOLDSTILL_SEED=… repeats one.
campaign: $(READY) packages lab-packages caller-packages database-packages fleet-packages
	HOLDSTILL_LAB=required HOLDSTILL_CAMPAIGN=1 $(PYTHON) -m pytest tests/host tests/lab

check: $(READY)
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports
	cd contrib/ansible && PATH=$(CURDIR)/$(VENV)/bin:$$PATH ansible-lint --offline -q

model: $(READY)
	$(PYTHON) -m pytest tests/model

lab: $(READY) packages lab-packages
	$(PYTHON) -m pytest tests/lab

lab-shell: $(READY) lab-packages
	$(PYTHON) tests/lab/shell.py $(MACHINE)

bench: $(READY)
	$(PYTHON) tests/bench/bench.py

bench-callers: $(READY) packages caller-packages
	$(PYTHON) tests/bench/callers.py

bench-lab: $(READY) lab-packages
	$(PYTHON) tests/bench/lab.py

install-units:
	install -d $(DESTDIR)/etc/systemd/system
	install --mode=0644 contrib/systemd/*.service contrib/systemd/*.timer $(DESTDIR)/etc/systemd/system
	[ -n "$(DESTDIR)" ] || systemctl daemon-reload

docs: $(READY)
	$(PYTHON) docs/generate.py

lock: $(READY)
	$(VENV)/bin/pip install --upgrade --editable '.[dev]'
	{ echo "# The versions that the tests run with; «make lock» writes them anew."; \
	  $(VENV)/bin/pip freeze --exclude-editable; } > tests/constraints.txt

packages:
	@sh .ci/packages

lab-packages:
	@sh .ci/packages $$(python3 tests/lab/needs.py)

# Backup software that the tests have call holdstill.
caller-packages:
	@sh .ci/packages amanda-client amanda-server backupninja backuppc bacula-console bacula-director \
		bacula-director-sqlite3 bacula-fd bacula-sd borgbackup burp libencode-locale-perl \
		libjson-perl liburi-perl libwww-perl libxml-simple-perl restic rsnapshot

# Servers that the tests start themselves, and quiesce.
database-packages:
	@sh .ci/packages busybox-static ldap-utils libvirt-clients mariadb-server openssh-client openssh-server postgresql redis-server \
		slapd

# What a host needs to be reached by ssh, and to have holdstill installed by Ansible.
fleet-packages:
	@sh .ci/packages iproute2 kpartx openssh-client openssh-server python3-apt python3-packaging python3-venv

$(READY): pyproject.toml tests/constraints.txt framework/holdstill/__init__.py
	@sh .ci/packages python3-venv
	python3 -m venv $(VENV)
	$(VENV)/bin/pip install --quiet --disable-pip-version-check --constraint tests/constraints.txt --editable '.[dev]'
	@touch $(READY)

clean:
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
