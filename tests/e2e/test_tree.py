"""The tree itself: rooms, man pages, no leftovers."""

import pathlib
import re
import shutil
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


def test_makefile_names_every_file():
    """Or it is in no archive of `make dist`."""
    named = set(re.findall(r"\S+", (TOP / "Makefile.am").read_text()))
    assert [path for path in map(str, rooms.sources()) if path.startswith(("common/", "proxyd/", "envgen/", "creds/")) and path not in named] == []


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
    for script in ("setup", "examples/demo/run", "common/texts.sh", "envgen/probes/probe.sh"):
        done = subprocess.run(["/bin/sh", "-n", TOP / script], capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, "")


AWKS = [(name, path) for name in ("mawk", "gawk", "original-awk", "busybox") if (path := shutil.which(name))]


@pytest.mark.parametrize("name,path", AWKS, ids=[name for name, _ in AWKS])
def test_texts_become_strings_of_c(tmp_path, name, path):
    """With any awk, and byte for byte: a compiler reads back what stood in the files."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/awk").symlink_to(path)
    texts = {"b.x": "\\n \\\\ \\& & \\\n", "a-b.x": 'say "hi" \\"\n\t\ttab\\t\n??= ??/ %s\n', "a.y": "\n\u00fc\\\n\n"}
    for file, text in texts.items():
        (tmp_path / file).write_text(text)
    (tmp_path / "row.h").write_text(
        "#include <stddef.h>\nstruct row { const char *stem, *name, *path, *text; size_t length; };\n"
        "extern const struct row row_list[];\nextern const size_t row_count;\n")
    (tmp_path / "main.c").write_text(
        '#include <stdio.h>\n#include "row.h"\nint main(void)\n{\n\tfor (const struct row *row = row_list; row < row_list + row_count; row++)\n'
        '\t\tprintf("%s %s %s %zu\\n%s", row->stem, row->name, row->path, row->length, row->text);\n}\n')
    environment = {"PATH": f"{tmp_path}/bin:/usr/bin:/bin"}
    script = ["sh", TOP / "common/texts.sh", "row.h", "row", "stem name path"]
    done = subprocess.run([*script, *(f"./{file}" for file in texts)], capture_output=True, cwd=tmp_path, env=environment)
    assert (done.returncode, done.stderr) == (0, b"")
    (tmp_path / "data.c").write_bytes(done.stdout)
    subprocess.run(["cc", "-std=gnu17", "-Wall", "-Werror", "-o", "show", "main.c", "data.c"], cwd=tmp_path, check=True)
    shown = subprocess.run([tmp_path / "show"], capture_output=True, text=True, check=True).stdout
    assert shown == "".join(
        f"{file[:-2]} {file} ./{file} {len(texts[file].encode())}\n{texts[file]}" for file in ("a.y", "a-b.x", "b.x"))
    done = subprocess.run([*script, "./b.x", "./absent.x"], capture_output=True, text=True, cwd=tmp_path, env=environment)
    assert done.returncode == 1 and "cannot read ./absent.x" in done.stderr


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
