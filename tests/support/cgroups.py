"""Whether this machine lets tests make control groups."""

import os

import pytest

from orchestra_worker.cgroup_parent import CgroupParent


def _can_be_made() -> bool:
    parent = CgroupParent.make(f"orchestra-test-{os.getpid()}", series="probe")
    if parent is not None:
        parent.close()
    return parent is not None


needs_cgroup = pytest.mark.skipif(not _can_be_made(), reason="no version 2 control group can be made here")
