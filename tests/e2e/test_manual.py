"""The man pages: mandoc finds nothing in them, they lead to each other, and say of options what --help says."""

import pathlib
import re
import subprocess

import pytest

from peers.keystile import PROGRAMS, clean_environment

TOP = pathlib.Path(__file__).resolve().parents[2]
PAGES = {page.stem: page for page in sorted((TOP / "docs").glob("*.[158]"))}

# Pages of packages that this machine need not have, and ours, which are not installed.
ELSEWHERE = re.compile(r"referenced manual not found|outdated mandoc\.db")


@pytest.mark.parametrize("name", PAGES)
def test_mandoc_finds_nothing(name):
    done = subprocess.run(["mandoc", "-T", "lint", PAGES[name]], capture_output=True, text=True)
    told = [line for line in (done.stdout + done.stderr).splitlines() if not ELSEWHERE.search(line)]
    assert told == []


def shown(name):
    """As plain text."""
    text = subprocess.run(["mandoc", "-T", "utf8", "-O", "width=500", PAGES[name]], capture_output=True, text=True, check=True).stdout
    return re.sub(".\b", "", text)


@pytest.mark.parametrize("name", PAGES)
def test_see_also_is_whole(name):
    """Ours all name each other; what the text sends readers to stands there too, and in order."""
    text = PAGES[name].read_text()
    see = re.search(r"^\.Sh SEE ALSO\n(.*?)^\.Sh|\Z", text + "\n.Sh", re.M | re.S)[1] or ""
    listed = re.findall(r"^\.Xr (\S+) (\d)( ,)?$", see, re.M)
    assert {page for page, _, _ in listed} >= set(PAGES) - {name}
    assert [page for page, _, _ in listed] == sorted((page for page, _, _ in listed), key=lambda page: (dict(
        (one, number) for one, number, _ in listed)[page], page))
    assert [comma for _, _, comma in listed] == [" ,"] * (len(listed) - 1) + [""]


def options(text):
    """Long ones, and letters that stand by themselves."""
    return set(re.findall(r"(?<![\w-])(--[a-z][a-z-]+|-[a-zA-Z])(?![\w-])", text))


def helped(program):
    text = subprocess.run([PROGRAMS / program / program, "--help"], capture_output=True, text=True, env=clean_environment()).stdout
    return options(text.split("\nFormats:")[0])


@pytest.mark.parametrize("program", ["proxyd", "envgen", "creds"])
def test_options_are_those_of_help(program):
    """A page has an entry for each option, but for the letters of --help and --version, which --help need not name."""
    text = PAGES[next(name for name in PAGES if name == program)].read_text()
    entries = set()
    for line in re.findall(r"^\.It (.*\bFl .*)|^\.(?:Op|Oo|Cm) (.*\bFl .*)", text, re.M):
        entries |= {f"-{word}" for word in re.findall(r"\bFl (-?[a-zA-Z][a-z-]*)", " ".join(line))}
    asked = helped(program) | {"--help", "--version"}
    letters = {"-h", "-V", "-c"}
    assert entries - letters == asked - letters
