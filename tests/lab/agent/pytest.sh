#!/bin/sh
# Inside the machine: run pytest on scenarios, named as they are in the checkout.
cd /lab && exec python3 -m pytest -c /lab/tests/lab/agent/pytest.ini --rootdir=/lab "$@"
