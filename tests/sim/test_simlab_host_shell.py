"""The small shell: what scripts for a dom0 use, and that words arrive as they were sent."""

import shlex
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from simlab_host_support import WAIT_S, dom0

from harness.simlab.shell.grammar import ShellSyntaxError, parse


@pytest.fixture
def host(tmp_path):
    with dom0(tmp_path) as made:
        yield made


@pytest.mark.parametrize(
    ("line", "out"),
    [
        ("echo a   b", "a b\n"),
        ('echo \'a   b\' "c\\"d" e\\ f', 'a   b c"d e f\n'),
        ("x=1; echo $x \"$x\" '$x' ${x}2 ${y:-d}", "1 1 $x 12 d\n"),
        ("false; echo $?", "1\n"),
        ("true && echo yes || echo no", "yes\n"),
        ("false && echo yes || echo no", "no\n"),
        ("! false && echo negated", "negated\n"),
        ("printf 'b\\na\\n' | sort | head -n 1", "a\n"),
        ("echo $(echo in $(echo in))", "in in\n"),
        ("if [ -d /root ]; then echo d; else echo n; fi", "d\n"),
        ("for i in 1 2 3; do echo $i; done | tail -n 1", "3\n"),
        ("sh -c 'echo $0 $1 \"$@\"' name 'a b' c", "name a b a b c\n"),
        ("echo err 1>&2 2>/dev/null; echo out 2>&1", "out\n"),
        ("echo one > f; echo two >> f; cat < f", "one\ntwo\n"),
        ("{ echo a; echo b; } | wc -l", "2\n"),
        ("(exit 3); echo $?", "3\n"),
        ("echo a # no words", "a\n"),
        ("command -v xl", "/usr/sbin/xl\n"),
        ("sudo -n env A=1 sh -c 'echo $A'", "1\n"),
        ('i=0; while [ -z "$stop" ]; do stop=1; echo once; done', "once\n"),
        ("touch g1.x g2.x h.y; echo *.x g?.* none*", "g1.x g2.x g1.x g2.x none*\n"),
    ],
)
def test_a_line_does_what_a_real_shell_does(host, line, out):
    assert host.run(line).out == out


def test_an_unknown_command_is_127_and_a_bad_script_2(host):
    assert host.run("frobnicate --now").rc == 127
    assert "not found" in host.run("frobnicate").err
    for script in ("echo 'open", "if true; echo", "echo | | cat", "a && ; b"):
        assert host.run(script).rc == 2, script


def test_what_is_not_played_says_so_instead_of_doing_something_else(host):
    for script in ("cd /tmp && ls", "set -e; false; echo went on", "echo $((1+1))"):
        ran = host.run(script)
        assert ran.rc != 0 or "not played" in ran.err, script
        assert "not played" in ran.err, script


@given(st.lists(st.text(st.characters(blacklist_characters="\0", blacklist_categories=["Cs"])), min_size=1))
@settings(max_examples=200, deadline=None)
def test_quoted_words_arrive_unchanged(words):
    script = parse(shlex.join(["echo", *words]))
    simple = script.jobs[0].steps[0][1].commands[0]
    assert ["".join(part.value for part in word) for word in simple.words][1:] == words


@given(st.text(alphabet="ab '\"\\$`(){};&|<>\n#=*?", max_size=20))
@settings(max_examples=300, deadline=None)
def test_no_script_breaks_the_shell(text):
    try:
        script = parse(text)
    except ShellSyntaxError:
        return
    assert parse(text) == script


def test_a_background_job_is_ended_by_its_number(host):
    stream = '"$@" </dev/null & p=$!; cat >/dev/null; kill $p 2>/dev/null; wait $p'
    ran = host.run(f"sh -c {shlex.quote(stream)} sh xenstore-watch /tool")
    assert (ran.rc, ran.out) == (143, "/tool\n")
    assert not host.processes.items(), "something of it still runs"


def test_a_killed_pipeline_leaves_nothing(host):
    with host.started("xenstore-watch /tool | cat") as (process, _, thread):
        process.kill()
        thread.join(WAIT_S)
        assert not thread.is_alive()
    assert not host.processes.items()


def test_timeout_ends_what_takes_too_long(host):
    assert host.run("timeout 0.05 xenstore-watch /tool").rc == 124
    assert host.run("timeout 20 echo done").out == "done\n"


def test_paths_cannot_leave_the_host(host, tmp_path):
    secret = Path(tempfile.mkdtemp(dir=tmp_path)) / "secret"
    secret.write_text("x")
    up = "../" * 40
    assert host.run(f"cat {up}{secret}").rc == 1
    assert host.run(f"cat {secret}").rc == 1
