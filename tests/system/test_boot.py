# SPDX-License-Identifier: BSD-2-Clause
"""The machine comes up, and what run promises about it holds."""

import os

from framework import FILES, system_test


@system_test(quick=True)
def reaches_the_prompt(machine):
    assert "Socle" in machine.text
    assert machine.json("info --json")["backend"] == machine.backend


@system_test(quick=True)
def shows_the_files(machine):
    with open(os.path.join(FILES, "hello.txt"), encoding="ascii") as stream:
        assert machine.run("!cat /srv/files/hello.txt").strip() == stream.read().strip()
    machine.fails("!touch /srv/files/new")


@system_test(quick=True)
def gives_the_status_of_a_line(machine):
    assert machine.command("!exit 7")[0] == 7
    assert machine.command("!true")[0] == 0
    assert machine.command("no-such-verb")[0] != 0
    # output that does not end its line
    assert machine.run("!printf abc").strip() == "abc"
    assert machine.run("!true") == ""


@system_test(quick=True)
def takes_long_lines(machine):
    words = " ".join(f"word{n}" for n in range(60))
    assert machine.run(f"!echo {words}").split() == words.split()


@system_test()
def restarts_the_shell(machine):
    """The shell has a controlling terminal, and init starts it again."""
    first = machine.run("!echo $PPID").strip()
    assert machine.run("!ps -o pid,tty,args | grep -c '[/]usr/bin/socle'").strip() == "1"
    machine.send_line("exit")
    machine.expect(r"'help' lists the verbs", 60)
    machine.wait_prompt()
    assert machine.run("!echo $PPID").strip() != first


@system_test(last=True)
def switches_off(machine):
    assert machine.power_off().kind == "off"


@system_test(fresh=True)
def resets(machine):
    machine.send_line("reboot")
    assert machine.wait_exit().kind == "reset"
