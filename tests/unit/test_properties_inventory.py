"""Where the properties of each parser and renderer are: whatever reads or writes texts has its place here.

Which modules those are is read from their source: they take texts apart by the means named below, or have a
public function whose name says that it reads or writes one. A test is taken for a module's when a function
under ``@given`` reaches a name that was imported from that module.
"""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MEANS = {
    *("compile", "loads", "fromstring", "splitlines", "unpack", "unpack_from", "b64decode"),
    *("getopt", "gnu_getopt", "literal_eval"),
}
FIRST = {
    "parse",
    "read",
    "render",
    "decode",
    "encode",
    "unescape",
    "escape",
    "show",
    "load",
    "unpack",
    "quote",
}
LAST = {"xml", "json", "words", "page", "lines", "text"}

# -- where they are

HOST, WIRE, WINRMD, LAB = (f"unit/test_{room}_properties.py" for room in ("host", "wire", "winrmd", "lab"))
PACKAGE, WORKLOAD, RESULTS = (
    f"unit/test_{room}_properties.py" for room in ("package", "workload", "results")
)
REPORT, SIMLAB, XENLAB, GUEST = (
    f"unit/test_{room}_properties.py" for room in ("report", "simlab", "xenlab", "guest")
)
CHANNEL = "unit/test_channel_properties.py"

PROPERTIES: dict[str, tuple[str, ...]] = {
    "harness.dump.read": ("unit/test_dump_read.py",),
    "harness.dump.xenlog": ("unit/test_dump_xenlog.py",),
    "harness.evidence.picture": (GUEST, "unit/test_evidence_picture.py"),
    "harness.evidence.courier": ("unit/test_evidence_properties.py",),
    "harness.evidence.guest_side": ("unit/test_evidence_properties.py",),
    "harness.guest.agent": (WIRE, "pwsh/test_agent_loop.py"),
    "harness.guest.calls": (WIRE, "unit/test_guest_calls.py"),
    "harness.guest.crash": (GUEST,),
    "harness.guest.probe": (WIRE,),
    "harness.guest.redaction": (GUEST, "unit/test_probe_transcript.py"),
    "harness.guest.signs": (GUEST,),
    "harness.guest.stopscreen": ("unit/test_guest_stopscreen.py",),
    "harness.guest.transfer": ("unit/test_guest_transfer.py",),
    "harness.host.address": (HOST, "unit/test_host_parsers.py"),
    "harness.host.area": ("unit/test_host_area.py",),
    "harness.host.figures": ("unit/test_host_figures.py",),
    "harness.host.layers": (HOST,),
    "harness.host.logscan": (HOST, "unit/test_host_logscan.py"),
    "harness.host.space": (HOST,),
    "harness.host.state": (HOST,),
    "harness.host.status": (HOST,),
    "harness.host.strays": ("unit/test_host_strays.py",),
    "harness.host.devicemodel": ("unit/test_host_devicemodel.py",),
    "harness.host.toolstack.libvirt_xml": (HOST, "unit/test_host_libvirt.py"),
    "harness.host.toolstack.pvsigns": (HOST,),
    "harness.host.toolstack.sxp": (HOST, "unit/test_host_sxp.py"),
    "harness.host.toolstack.tables": (HOST, "unit/test_host_tables.py"),
    "harness.host.toolstack.xl_config": (HOST,),
    "harness.host.toolstack.xm_config": (HOST,),
    "harness.host.volumes": ("unit/test_host_volumes.py",),
    "harness.host.xenstore": (HOST, "unit/test_host_parsers.py", "unit/test_host_store_escapes.py"),
    "harness.image.answers": ("unit/test_image_answers.py",),
    "harness.image.eltorito": ("unit/test_image_iso.py",),
    "harness.image.rules": ("unit/test_image_answers.py",),
    "harness.image.stages": ("unit/test_image_stages.py",),
    "harness.image.wim": ("unit/test_image_wim.py",),
    "harness.lab.addition": ("unit/test_lab_addition.py",),
    "harness.lab.ini": (LAB,),
    "harness.lab.load": (LAB, "unit/test_lab_hosts_ini.py"),
    "harness.lab.profile_load": (LAB, "unit/test_lab_profile.py"),
    "harness.model": (GUEST,),
    "harness.package.catalog": ("unit/test_package_catalog.py",),
    "harness.package.inf": (PACKAGE, "unit/test_package_inf.py"),
    "harness.package.inffacts": (PACKAGE, "unit/test_package_inf.py"),
    "harness.package.pdb": ("unit/test_package_symbols.py",),
    "harness.package.pe": (PACKAGE, "unit/test_package_images.py"),
    "harness.package.pewriter": (PACKAGE,),
    "harness.package.unpack": (PACKAGE,),
    "harness.report.html": (REPORT,),
    "harness.report.images": (REPORT, "unit/test_report_exhibits.py"),
    "harness.report.junit": (REPORT,),
    "harness.report.words": (REPORT,),
    "harness.results.events": (RESULTS,),
    "harness.results.load": (RESULTS,),
    "harness.results.plain": (RESULTS,),
    "harness.results.timeless": (RESULTS,),
    "harness.session.outcome": (GUEST,),
    "harness.simlab.commands.options": (SIMLAB,),
    "harness.simlab.commands.store": ("unit/test_host_store_escapes.py",),
    "harness.simlab.faults": (SIMLAB,),
    "harness.simlab.guest.inf": (SIMLAB,),
    "harness.simlab.host.vdev": (SIMLAB,),
    "harness.simlab.libvirt.xml": (SIMLAB, HOST),
    "harness.simlab.shell.grammar": (SIMLAB,),
    "harness.simlab.tools.options": (SIMLAB,),
    "harness.simlab.xl.config": (SIMLAB, HOST),
    "harness.simlab.xm.config": (SIMLAB, HOST),
    "harness.simlab.xm.sxp": (SIMLAB, "unit/test_host_sxp.py"),
    "harness.winrmd.agent": (WINRMD, WIRE),
    "harness.winrmd.http": (WINRMD,),
    "harness.winrmd.login": (WINRMD,),
    "harness.winrmd.ntlm": ("unit/test_winrmd_ntlm.py",),
    "harness.winrmd.sealed": (WINRMD,),
    "harness.winrmd.service": (WINRMD,),
    "harness.winrmd.soap": (WINRMD, "unit/test_winrmd_parsing.py"),
    "harness.wire": (WIRE,),
    "harness.workload.iperf3": (WORKLOAD,),
    "harness.workload.ntttcp": (WORKLOAD,),
    "harness.workload.peer": (WORKLOAD,),
    "harness.workload.reading": (WORKLOAD,),
    "harness.workload.xmltext": (WORKLOAD,),
    "harness.xenlab.debian": (XENLAB,),
    "harness.xenlab.guesttree": (XENLAB,),
    "harness.xenlab.hostsini": (XENLAB,),
    "harness.xenlab.pvstate": (XENLAB,),
    "harness.xenlab.standin.eventlog": (XENLAB,),
    "harness.xenlab.standin.inf": (XENLAB,),
    "harness.xenlab.standin.network": (XENLAB,),
    # of these the signs say nothing: they were looked up by hand
    "harness.guest.exchanges": (WIRE,),
    "harness.host.health": (HOST,),
    "harness.host.lease": (HOST,),
    "harness.host.numbers": (HOST,),
    "harness.host.ssh": (HOST,),
    "harness.host.toolstack.quirks": (HOST,),
    "harness.lab.redactor": ("unit/test_lab_redactor.py",),
    "harness.lab.secrets": (LAB,),
    "harness.package.infwriter": (PACKAGE,),
    "harness.package.layout": (PACKAGE,),
    "harness.package.parts": (PACKAGE,),
    "harness.report.terminal": (REPORT,),
    "harness.results.follow": (RESULTS,),
    "harness.results.history": (RESULTS,),
    "harness.results.replay": (RESULTS,),
    "harness.winrmd.commands": (WINRMD,),
    "harness.workload.diskspd": (WORKLOAD,),
    "harness.workload.fio": (WORKLOAD,),
}

# Tests of one more kind: what a module does with texts is seen through a real endpoint only.
THROUGH_AN_ENDPOINT = {"harness.guest.channel": CHANNEL, "harness.guest.winrm": CHANNEL}

NONE_NEEDED: dict[str, tuple[str, ...]] = {
    "it takes the first or last line of a text that is never empty, for people": (
        "harness.doctor.hosts",
        "harness.session.controller",
        "harness.workload.run",
        "harness.xenlab.shell",
    ),
    "it looks for a fixed word, and what does not hold it is passed on": (
        "harness.host.toolstack.command",
        "harness.host.toolstack.xl",
        "harness.host.toolstack.xm",
        "harness.package.checks",
    ),
    "it matches names that a user gives against a pattern, and refuses all others": (
        "harness.image.plan",
        "harness.image.updates",
    ),
    "it makes a file name safe, or matches names we made ourselves": (
        "harness.evidence.collect",
        "harness.evidence.host_side",
        "harness.guest.deliver",
        "harness.package.symbols",
        "harness.report.exhibits",
        "harness.xenlab.standin.driverstore",
        "harness.xenlab.standin.jobs",
    ),
    "it reads what another process of ours has just written, of the same version": (
        "harness.host.toolstack.libvirt_open",
        "harness.session.worker",
        "harness.simlab.guest.files",
        "harness.simlab.libvirt.program",
        "harness.simlab.xl.saving",
        "harness.xenlab.lab",
        "harness.xenlab.standin.bootrecord",
        "harness.xenlab.standin.files",
        "harness.xenlab.standin.pattern",
    ),
    "it is for developers, and reads files of this repository or of the engine beside it": (
        "harness.guest.agent.lint",
        "harness.guest.agent.surfaces",
    ),
    "it moves bytes and texts as they are": (
        "harness.evidence.hang",
        "harness.evidence.host_state",
        "harness.host.sshchannel",
    ),
    "it is a part of what is read or written as a whole, by whose properties it is tested": (
        "harness.dump.crash",
        "harness.dump.header",
        "harness.dump.triage",
        "harness.host.toolstack.legacy_disk",
    ),
    "it reads what qemu-img of the same host writes for programs": ("harness.host.clone.overlay",),
    "it takes the first of the paths that find gives, if there is one": ("harness.host.host",),
    "it reads notes of ours, and what it cannot read is no note": ("harness.host.adopted",),
    "it puts words together for pytest, which reads them": ("harness.cli.run",),
    "it shows what others have made, line by line": ("harness.cli.lab",),
    "it is a table, written out whole, and a test compares the page with it": ("harness.host.rights",),
    "a library reads the format (paramiko), and its errors are named": ("harness.host.sshlogin",),
    "it has tables for people, with rich": ("harness.doctor.render",),
    "its parts have properties, it puts them together": ("harness.package.build",),
    "a library reads the format (cryptography, ssl, pycdlib), and its errors are named": (
        "harness.image.iso",
        "harness.package.trust",
        "harness.simlab.guest.catalog",
        "harness.winrmd.tls",
    ),
    "pytest reads the options": ("harness.session.options",),
    "it plays commands of a simulated host for our own callers, which contract suites hold to real Xen": (
        "harness.simlab.commands.files",
        "harness.simlab.commands.text",
        "harness.simlab.setup.answers",
        "harness.simlab.setup.cd",
        "harness.simlab.setup.scripts",
        "harness.simlab.guest.disk",
        "harness.simlab.guest.eventlog",
        "harness.simlab.host.strays",
        "harness.simlab.shell.runner",
        "harness.simlab.tools.fio",
        "harness.simlab.tools.ntttcp",
        "harness.simlab.xl.memory",
        "harness.simlab.xl.table",
        "harness.simlab.xm.table",
    ),
    "it reads what the kernel or QEMU shows in a fixed form, on a machine of our own": (
        "harness.xenlab.qemu",
        "harness.xenlab.standin.ethtool",
        "harness.xenlab.standin.guest",
        "harness.xenlab.standin.hardware",
        "harness.xenlab.standin.power",
        "harness.xenlab.standin.storage",
        "harness.xenlab.standin.xenstore",
    ),
}


@cache
def modules() -> dict[str, Path]:
    """Every module of the package."""
    found = {}
    for path in sorted((ROOT / "harness").rglob("*.py")):
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        found[name.removesuffix(".__init__")] = path
    return found


def reads_or_writes_texts(path: Path) -> bool:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    calls = {
        node.func.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
    }
    public = [node.name.split("_") for node in tree.body if isinstance(node, ast.FunctionDef)]
    return bool(calls & MEANS) or any(name[0] in FIRST or (name[0] and name[-1] in LAST) for name in public)


def test_each_module_that_reads_or_writes_texts_has_its_place() -> None:
    placed = {
        *PROPERTIES,
        *THROUGH_AN_ENDPOINT,
        *(module for group in NONE_NEEDED.values() for module in group),
    }
    found = {name for name, path in modules().items() if reads_or_writes_texts(path)}
    assert found - placed == set(), "say in this file where its properties are, or why it needs none"
    assert placed - modules().keys() == set(), "no such module any more"


def test_no_module_has_two_places() -> None:
    without = [module for group in NONE_NEEDED.values() for module in group]
    assert sorted(set(without)) == sorted(without)
    assert set(without) & PROPERTIES.keys() == set()


@pytest.mark.parametrize("module", sorted(PROPERTIES))
def test_the_tests_named_for_a_module_are_its_properties(module: str) -> None:
    for name in PROPERTIES[module]:
        assert module in modules_under_given(ROOT / "tests" / name), f"no @given in {name} reaches {module}"


@pytest.mark.parametrize("module", sorted(THROUGH_AN_ENDPOINT))
def test_what_is_seen_through_an_endpoint_only_has_its_tests_there(module: str) -> None:
    assert module in modules()
    text = (ROOT / "tests" / THROUGH_AN_ENDPOINT[module]).read_text(encoding="utf-8")
    assert "@given" in text
    assert "channel_to" in text


@cache
def modules_under_given(path: Path) -> frozenset[str]:
    """The modules of ours that functions under ``@given`` in a test file reach, themselves or by helpers."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    imported = _imported(tree)
    parts = _parts(tree)
    waiting = [
        node
        for node in tree.body
        if isinstance(node, ast.FunctionDef) and any(_calls_given(one) for one in node.decorator_list)
    ]
    names: set[str] = set()
    while waiting:
        new = {node.id for node in ast.walk(waiting.pop()) if isinstance(node, ast.Name)} - names
        names |= new
        waiting += [part for name in new for part in parts.get(name, ())]
    return frozenset(module for name in names for module in imported.get(name, ()))


def _calls_given(decorator: ast.expr) -> bool:
    return (
        isinstance(decorator, ast.Call)
        and isinstance(decorator.func, ast.Name)
        and decorator.func.id == "given"
    )


def _imported(tree: ast.Module) -> dict[str, tuple[str, ...]]:
    """Modules by the name under which they, or something of theirs, are known in a file."""
    found: dict[str, tuple[str, ...]] = {}
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("harness"):
            for alias in node.names:
                # from harness.host import lease: a module; from harness.host.lease import Holder: of one;
                # from harness.dump import read_dump: what the package has from a module of its own
                given = _given_on(str(node.module)).get(alias.name, str(node.module))
                found[alias.asname or alias.name] = (f"{node.module}.{alias.name}", given)
    return found


@cache
def _given_on(package: str) -> dict[str, str]:
    """What a package gives on from its modules, by name."""
    path = modules().get(package)
    if path is None or path.name != "__init__.py":
        return {}
    return {
        alias.name: str(node.module)
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }


def _parts(tree: ast.Module) -> dict[str, list[ast.stmt]]:
    """What stands at the top level of a file, by the names it defines."""
    found: dict[str, list[ast.stmt]] = {}
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.setdefault(node.name, []).append(node)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            for target in targets:
                for name in ast.walk(target):
                    if isinstance(name, ast.Name):
                        found.setdefault(name.id, []).append(node)
    return found
