"""The lock of a job: the first thing that a run writes."""

from __future__ import annotations

import pytest

from holdstill.errors import PermissionRefusedError
from holdstill.run.lock import job_lock


def test_who_is_not_root_is_told_that_only_root_may(tmp_path, mocker):
    mocker.patch("os.open", side_effect=PermissionError(13, "Permission denied"))
    with (
        pytest.raises(PermissionRefusedError, match=r"is root's, .*try «sudo holdstill …»"),
        job_lock(tmp_path, "nightly"),
    ):
        pass
