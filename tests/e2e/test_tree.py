"""The tree itself: rooms, man pages, no leftovers."""

import pathlib
import re
import subprocess
import sys

import pytest

TOP = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TOP / "tests"))

import rooms  # noqa: E402


def test_rooms_depend_one_way():
    assert rooms.check() == []


def test_rooms_check_finds_an_arrow_back():
    """The check is no decoration."""
    assert rooms.judge(pathlib.Path("common/path.c"), '"', "dial.h")
    assert rooms.judge(pathlib.Path("proxyd/inject.c"), '"', "sniff.h")
    assert rooms.judge(pathlib.Path("proxyd/judge.c"), "<", "curl/curl.h")


@pytest.mark.parametrize("page", sorted((TOP / "docs").glob("*.[158]")), ids=lambda page: page.name)
def test_man_page(page):
    done = subprocess.run(["mandoc", "-T", "lint", "-W", "warning", page], capture_output=True, text=True)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_every_program_has_a_man_page():
    assert {page.stem for page in (TOP / "docs").glob("*.[158]")} >= {"proxyd", "envgen", "creds", "keystile.yaml"}


def test_no_file_grows_too_long():
    for path in rooms.sources():
        assert len((TOP / path).read_text().splitlines()) <= 500, path


@pytest.mark.parametrize("name", sorted(path.stem for path in (TOP / "tests/fuzz").glob("fuzz_*.c")))
def test_fuzzer_is_built_and_has_a_small_corpus(name):
    makefile = (TOP / "Makefile.am").read_text()
    assert re.search(rf"^\ttests/fuzz/{name}\b", makefile, re.MULTILINE) and f"\ntests_fuzz_{name}_LDFLAGS = " in makefile
    sizes = [path.stat().st_size for path in (TOP / "tests/fuzz/corpus" / name).iterdir()]
    assert 3 <= len(sizes) <= 120 and sum(sizes) <= 50 * 1024, "CONTRIBUTING.md says how a corpus is made smaller"


def test_shell_scripts_parse():
    for script in ("setup", "examples/demo/run", "envgen/probes/compile.sh", "envgen/probes/probe.sh"):
        done = subprocess.run(["/bin/sh", "-n", TOP / script], capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, "")


def test_demo_ends_by_itself():
    """What `./setup demo` runs, on what this test run built."""
    from peers import sanitizers
    from peers.keystile import PROGRAMS

    done = subprocess.run(
        [TOP / "examples/demo/run", PROGRAMS], capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL,
        env={"PATH": "/usr/bin:/bin", **sanitizers.options()},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    sent, received = re.findall(r"Authorization: Bearer (\S+)", done.stdout.split("What the client sent")[1])[:2]
    assert received.startswith("demo-secret-") and sent != received
    assert '{"hello": "agent"}' in done.stdout
