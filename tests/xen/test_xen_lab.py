"""The nested lab itself: it answers, comes back to its snapshot, and is alone on its machine."""

from __future__ import annotations

import time

import pytest

from harness.errors import InfrastructureError
from harness.xenlab import XenLab

pytestmark = pytest.mark.xen


def test_it_is_a_real_xen_of_the_version_its_hosts_ini_names(xen_lab, xen_host, spec):
    info = xen_host.toolstack.info()
    assert info.version == spec.xen
    assert str(info.version) == xen_lab.xen
    assert info.free_mib >= spec.memory_mib, "guests may use more than there is"


def test_libvirt_drives_it_too(xen_lab):
    assert f"Running hypervisor: Xen {xen_lab.xen}" in xen_lab.dom0.run("virsh -c xen:///system version")


def test_its_clock_is_ours_although_the_snapshot_is_old(xen_lab):
    assert abs(int(xen_lab.dom0.run("date +%s")) - time.time()) < 60


def test_a_reset_takes_away_what_came_after_the_snapshot_and_sets_the_clock(xen_lab, xen_host):
    xen_lab.dom0.run("touch /var/lib/pvhck/left; touch /root/left; date -s 2020-01-01")
    xen_host.close()
    xen_lab.reset()
    assert xen_lab.dom0.run("ls /var/lib/pvhck /root").split().count("left") == 0
    assert abs(int(xen_lab.dom0.run("date +%s")) - time.time()) < 60
    assert [domain.name for domain in xen_host.toolstack.domains()] == ["Domain-0"]


def test_a_second_lab_on_this_machine_is_refused(xen_lab):
    assert xen_lab.alive
    with pytest.raises(InfrastructureError, match="already running"):
        XenLab(xen_lab.xen).up()


def test_guests_reach_the_controller_through_dom0(xen_lab, spec):
    route = xen_lab.dom0.run(f"ip route get {spec.controller}; nft list table ip nat")
    assert "eth0" in route
    assert "masquerade" in route
