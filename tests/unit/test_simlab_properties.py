"""The simulated lab reads what real programs read: any text has a meaning, or ends in their words."""

from __future__ import annotations

import contextlib
from types import SimpleNamespace
from typing import Any

import pytest
from hostile_texts import any_text, damaged, one_line
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import ConfigurationError
from harness.model import Arch, XenVersion
from harness.simlab.commands.options import read_options
from harness.simlab.faults import FaultScope, parse_faults
from harness.simlab.guest.inf import InfError, read_inf
from harness.simlab.host.vdev import parse_vdev
from harness.simlab.libvirt.xml import XmlError, parse_device, parse_domain
from harness.simlab.shell.grammar import ShellSyntaxError, parse
from harness.simlab.shell.process import CommandError
from harness.simlab.tools.options import BadOption
from harness.simlab.tools.options import read_options as read_tool_options
from harness.simlab.xl.config import CfgSyntaxError, parse_cfg, parse_disk, parse_legacy_disk, parse_nic
from harness.simlab.xm.config import XmConfigError, parse_xm_config
from harness.simlab.xm.sxp import show

V417, V41 = XenVersion(4, 17), XenVersion(4, 1)
CFG = """# a guest
name = "win1"
memory = 512
maxmem=0x200
disk = ["format=qcow2, vdev=hda, access=rw, target=/a b,c", 'file:/x,hdc:cdrom,r']
vif = ["mac=00:16:3e:00:00:01,bridge=xenbr0", ]
"""
XML = """<domain type='xen'><name>win1</name><memory unit='MiB'>512</memory><vcpu>2</vcpu>
<os><type>hvm</type></os>
<devices><disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='/a'/>
<target dev='hda'/></disk><interface type='bridge'><mac address='00:16:3e:00:00:01'/>
<source bridge='xenbr0'/></interface></devices></domain>
"""
SCRIPT = (
    'b="$HOME/a b"; while read -r x; do : >"$b"; echo "$x"; done </dev/null >&2 & p=$!; wait $p || exit 1\n'
)
INF = """[Version]
DriverVer=01/02/2026,9.1.0.1
Provider=%V%
[Manufacturer]
%V%=M,NTamd64
[M.NTamd64]
%D%=I,PCI\\X
"""
SIGNS = st.text(alphabet="abc019 =+\"'[],;#\n\\$`(){}&|<>!-.xX\t", max_size=60)


@given(st.data())
def test_any_configuration_is_read_or_complained_about(data: st.DataObject) -> None:
    text = data.draw(damaged(CFG) | any_text | SIGNS)
    for version in (V417, V41):
        with contextlib.suppress(CfgSyntaxError):
            parse_cfg(text, "a.cfg", bytes(19), version)
    with contextlib.suppress(XmConfigError, CfgSyntaxError):
        parse_xm_config(text, bytes(19))


@pytest.mark.parametrize("value", ["010", "1" * 5000, "9" * 400 + ".5", "٣", "-1", "0x"])
def test_any_number_is_read_or_complained_about(value: str) -> None:
    for text in (f"memory = {value}\n", f"vif = [{value}]\n"):
        with contextlib.suppress(CfgSyntaxError):
            parse_cfg(text, "a.cfg", bytes(19), V417)
        with contextlib.suppress(XmConfigError, CfgSyntaxError):
            parse_xm_config(text, bytes(19))


def test_a_hexadecimal_number_is_one() -> None:
    assert parse_cfg("memory = 0x200\n", "a.cfg", bytes(19), V417).memory == 512


@pytest.mark.parametrize(
    "text", ["a\0b", "a = {[]: 1}", "a = " + "[" * 5000, "a = " + "-" * 50_000 + "1", "a = 1 + 2j"]
)
def test_python_that_cannot_be_taken_is_complained_about(text: str) -> None:
    with contextlib.suppress(XmConfigError):
        parse_xm_config(text, bytes(19))


@given(any_text | SIGNS)
def test_any_device_is_read_or_complained_about(text: str) -> None:
    for read in (parse_disk, parse_legacy_disk):
        with contextlib.suppress(CfgSyntaxError):
            assert isinstance(read(text).path, str)
    assert isinstance(parse_nic(text.split(","), bytes(3)).mac, str)
    assert parse_vdev(text) is None or text[:1] in "xhs"


@given(st.data())
def test_any_xml_is_a_domain_or_refused(data: st.DataObject) -> None:
    text = data.draw(damaged(XML) | any_text)
    for old, new in (("512", "much"), ("MiB", "pages"), (">2<", "><")):
        for one in (text, XML.replace(old, new)):
            with contextlib.suppress(XmlError):
                parse_domain(one, bytes(16))
            with contextlib.suppress(XmlError):
                parse_device(one)


@given(st.data())
def test_any_script_is_read_or_a_syntax_error(data: st.DataObject) -> None:
    with contextlib.suppress(ShellSyntaxError):
        parse(data.draw(damaged(SCRIPT) | SIGNS | any_text))


@pytest.mark.parametrize("piece", ["(", "{ ", "if ", "while ", "$(", "! ", "a|", "a;"])
def test_a_deep_nest_is_a_syntax_error_at_most(piece: str) -> None:
    with contextlib.suppress(ShellSyntaxError):
        parse(piece * 20_000)


@given(st.lists(one_line | st.sampled_from(["-a", "-b", "--long", "--long=x", "--", "-"]), max_size=5))
def test_any_options_are_read_or_complained_about(words: list[str]) -> None:
    process: Any = SimpleNamespace(args=words, argv=["x", *words])
    with contextlib.suppress(CommandError):
        found = read_options(process, "ab:", ["long="])
        assert set(found.words) <= set(words)
    with contextlib.suppress(BadOption):
        read_tool_options(words, {"all": "a"}, {"long": "b"})


@given(st.data())
def test_any_inf_is_read_or_refused(data: st.DataObject) -> None:
    text = data.draw(damaged(INF) | any_text)
    for arch in Arch:
        with contextlib.suppress(InfError):
            inf = read_inf(text, arch)
            assert inf.rank
            assert inf.driver is None


@given(
    st.lists(
        one_line | st.sampled_from(["device-code-10:xenvif", "ssh-drop:create", "winrm-401:x"]), max_size=3
    )
)
def test_any_fault_is_a_switch_or_the_person_s_mistake(texts: list[str]) -> None:
    for scope in FaultScope:
        with contextlib.suppress(ConfigurationError):
            parse_faults(texts, scope, "host a")


@given(st.recursive(any_text, lambda inner: st.lists(inner, min_size=1, max_size=4), max_leaves=8))
def test_any_form_is_shown_in_ascii_within_balanced_parentheses(form: Any) -> None:
    shown = show([form])
    assert shown.isascii()
    assert shown.startswith("(")
    assert shown.endswith(")")
