"""What proxyd writes for clients to trust where it intercepts, and what it tells where it cannot (SPEC §5)."""

import os
import pathlib
import re
import shutil
import stat
import subprocess

import pytest

from peers import evidence
from peers.authority import Authority
from peers.config import one_api
from peers.keystile import clean_environment

INTERCEPTS = one_api("https://api.example.com", intercept="true")
BY_HOST = one_api("https://api.example.com", hosts="[{ host: docs.example.com, intercept: true }]")
NOTHING = one_api("https://api.example.com")
SYSTEM = pathlib.Path("/etc/ssl/certs/ca-certificates.crt")
GIVEN = "{{ ca_cert: ca.crt, ca_key: ca.key }}"


def certificates(path):
    return re.findall(r"-----BEGIN CERTIFICATE-----\n(.*?)-----END CERTIFICATE-----\n", path.read_text(), re.S)


@pytest.fixture
def make(keystile, authority):
    """A Keystile that is not started; its roots are the test run's CA."""

    def one(config=INTERCEPTS, tls=None, **head):
        made = keystile(config, {"api": evidence.secret("ca")}, {"tls": tls, **head}, start=False)
        made.roots = {"SSL_CERT_FILE": str(authority.ca)}
        return made

    return one


def make_ca(folder):
    """As keystile.yaml(5) says."""
    page = subprocess.run(
        ["mandoc", "-T", "ascii", pathlib.Path(__file__).parents[2] / "docs/keystile.yaml.5"], capture_output=True, text=True, check=True
    )
    lines = re.search(r"openssl req -x509.*?-out ca\.crt", re.sub(r".\x08", "", page.stdout), re.S).group()
    subprocess.run(["/bin/sh", "-ec", lines], cwd=folder, check=True, capture_output=True)


def fails_to_start(one, words, env):
    one.start(env=env, wait=False)
    assert one.process.wait(20) == 1
    assert words in one.log(), one.log()
    assert "ready" not in one.log()


@pytest.mark.parametrize("config", [INTERCEPTS, BY_HOST], ids=["credential", "host"])
def test_written(make, authority, config):
    one = make(config)
    one.start(env=one.roots)
    state = one.folder / "state"
    ca, bundle, store = state / "ca.pem", state / "bundle.pem", state / "bundle.pem.jks"
    assert len(certificates(ca)) == 1
    assert certificates(bundle) == certificates(authority.ca) + certificates(ca)
    for path in (ca, bundle, store):
        assert stat.S_IMODE(path.stat().st_mode) == 0o644
        assert b"PRIVATE" not in path.read_bytes()
    assert f"interception: clients trust {ca}" in one.log()
    assert {path.name for path in state.iterdir() if "vault" not in path.name} == {"ca.pem", "bundle.pem", "bundle.pem.jks"}


def test_java_reads_the_store(make):
    """With the password that tools are used to, and, as programs do, with none."""
    one = make()
    one.start(env=one.roots)
    store = one.folder / "state/bundle.pem.jks"
    listed = subprocess.run(["keytool", "-list", "-keystore", store, "-storepass", "changeit"], capture_output=True, text=True)
    assert listed.returncode == 0 and "contains 2 entries" in listed.stdout and listed.stdout.count("trustedCertEntry") == 2, listed
    listed = subprocess.run(["keytool", "-list", "-keystore", store], input="\n", capture_output=True, text=True)
    assert listed.returncode == 0 and "contains 2 entries" in listed.stdout, listed
    listed = subprocess.run(["keytool", "-list", "-keystore", store, "-storepass", "another"], capture_output=True, text=True)
    assert listed.returncode == 1, listed


def test_made_anew_and_replaced(make):
    one = make()
    state = one.folder / "state"
    state.mkdir(exist_ok=True)
    (state / "ca.pem").write_text("something else\n")
    one.start(env=one.roots)
    first = (state / "ca.pem").read_text()
    one.stop()
    one.start(env=one.roots)
    assert len(certificates(state / "ca.pem")) == 1 and (state / "ca.pem").read_text() != first
    assert len(certificates(state / "bundle.pem")) == 2


def test_given_ca(make):
    one = make(tls="{{ ca_cert: ca.crt, ca_key: ca.key, ca_out: out/seen.pem, bundle_out: out/all.pem }}")
    make_ca(one.folder)
    (one.folder / "out").mkdir()
    done = one.check(env=one.roots)
    assert (done.returncode, done.err) == (0, ""), done.err
    assert not list((one.folder / "out").iterdir())
    one.start(env=one.roots)
    assert certificates(one.folder / "out/seen.pem") == certificates(one.folder / "ca.crt")
    assert certificates(one.folder / "out/all.pem")[-1:] == certificates(one.folder / "ca.crt")
    assert (one.folder / "out/all.pem.jks").exists() and not (one.folder / "state/ca.pem").exists()
    one.stop()
    one.start(env=one.roots)
    assert certificates(one.folder / "out/seen.pem") == certificates(one.folder / "ca.crt")


def test_folder_of_roots(make, authority, tmp_path):
    one = make()
    (tmp_path / "certs").mkdir()
    other = Authority(tmp_path / "other", "Another CA")
    shutil.copy(authority.ca, tmp_path / "certs/a.pem")
    shutil.copy(other.ca, tmp_path / "certs/b.pem")
    one.start(env={"SSL_CERT_DIR": str(tmp_path / "certs")})
    ours = certificates(one.folder / "state/ca.pem")
    assert set(certificates(one.folder / "state/bundle.pem")) == {*certificates(authority.ca), *certificates(other.ca), *ours}


def test_roots_of_the_system(make):
    one = make()
    one.start()
    bundle = certificates(one.folder / "state/bundle.pem")
    assert set(bundle[:-1]) == set(certificates(SYSTEM)) and bundle[-1:] == certificates(one.folder / "state/ca.pem")


def test_no_roots(make, tmp_path):
    one = make()
    (tmp_path / "empty.pem").write_text("")
    env = {"SSL_CERT_FILE": str(tmp_path / "empty.pem")}
    done = one.check(env=env)
    assert done.returncode == 1 and "SSL_CERT_FILE" in done.err and "empty.pem" in done.err, done.err
    fails_to_start(one, "SSL_CERT_FILE", env)
    assert not (one.folder / "state/ca.pem").exists()


def test_nothing_is_made(make):
    """Neither by --check, nor where nothing is intercepted."""
    one = make()
    done = one.check(env=one.roots)
    assert (done.returncode, done.err) == (0, ""), done.err
    assert not (one.folder / "state/ca.pem").exists()
    one = make(NOTHING)
    one.start(env=one.roots)
    assert not (one.folder / "state/ca.pem").exists() and "interception" not in one.log()


# What is said of paths, by --check and at start.
PATHS = [
    ("{{ ca_out: nowhere/ca.pem }}", "tls.ca_out: ", "No such file or directory"),
    ("{{ bundle_out: nowhere/ca.pem }}", "tls.bundle_out: ", "No such file or directory"),
    ("{{ ca_out: fifo }}", "/fifo is no regular file; set another path", ""),
    ("{{ ca_out: folder }}", "/folder is no regular file; set another path", ""),
    ("{{ ca_out: a.pem, bundle_out: a.pem }}", "/a.pem is written as tls.ca_out too; set another path", ""),
    ("{{ ca_out: a.pem.jks, bundle_out: a.pem }}", "/a.pem.jks is written as tls.ca_out too; set another path", ""),
    ("{{ ca_cert: ca.crt, ca_key: ca.key, ca_out: ca.crt }}", "/ca.crt is read as tls.ca_cert, so nothing is written there; ", ""),
    ("{{ ca_cert: ca.crt, ca_key: ca.key, bundle_out: link }}", "/link is read as tls.ca_key, so nothing is written there; ", ""),
    ("{{ bundle_out: roots.pem }}", "/roots.pem is read as SSL_CERT_FILE, so nothing is written there; ", ""),
]


@pytest.mark.parametrize("tls,words,more", PATHS, ids=[row[0][2:-2].strip() for row in PATHS])
def test_paths(make, authority, tls, words, more):
    one = make(tls=tls)
    make_ca(one.folder)
    (one.folder / "folder").mkdir()
    os.mkfifo(one.folder / "fifo")
    (one.folder / "link").symlink_to("ca.key")
    shutil.copy(authority.ca, one.folder / "roots.pem")
    before = {path: path.read_bytes() for path in one.folder.iterdir() if path.is_file()}
    env = {"SSL_CERT_FILE": str(one.folder / "roots.pem")}
    done = one.check(env=env)
    assert (done.returncode, done.out) == (1, ""), done.out
    assert re.search(r"^proxyd: error: interception: .*" + re.escape(words) + ".*" + more, done.err, re.M), done.err
    fails_to_start(one, words, env)
    assert more in one.log()
    assert {path: path.read_bytes() for path in before} == before


def test_no_state_folder(make):
    one = make(state=None)
    env = {**one.roots, "HOME": ""}
    done = one.check(env=env)
    words = "there is no state folder, in which the CA of interception would be written for clients; set `state: PATH`"
    assert done.returncode == 1 and words in done.err, done.err
    fails_to_start(one, words, env)


def test_ca_that_lacks_something(make):
    one = make(tls=GIVEN)
    make_ca(one.folder)
    shutil.copy(one.folder / "ca.key", one.folder / "good.key")
    subprocess.run(
        ["openssl", "req", "-x509", "-key", "good.key", "-subj", "/CN=Weak", "-addext", "basicConstraints=CA:TRUE", "-out", "ca.crt"],
        cwd=one.folder, check=True, capture_output=True, env=clean_environment(OPENSSL_CONF="/dev/null"),
    )
    words = f"tls.ca_cert: {one.folder}/ca.crt: strict clients would refuse what the CA CN=Weak signs; it lacks"
    done = one.check(env=one.roots)
    assert (done.returncode, done.out) == (1, "") and f"error: interception: {words}" in done.err, done.err
    assert '"critical" on basicConstraints' in done.err and "keyUsage with keyCertSign" in done.err
    fails_to_start(one, words, one.roots)


def test_ca_that_is_not_needed(make):
    """Where nothing is intercepted, what is wrong with it is a warning, with its place."""
    one = make(NOTHING, tls=GIVEN)
    done = one.check(env=one.roots)
    assert done.returncode == 0 and re.match(r"proxyd: warning: \S+keystile\.yaml:\d+:\d+: tls\.ca_cert: .*No such file", done.err), done.err
    one.start(env=one.roots)


def test_key_that_others_may_read(make):
    one = make(tls=GIVEN)
    make_ca(one.folder)
    (one.folder / "ca.key").chmod(0o644)
    done = one.check(env=one.roots)
    assert done.returncode == 0 and "ca.key: others may read this key (mode 0644)" in done.err, done.err
    one.start(env=one.roots)
    assert "ca.key: others may read this key (mode 0644)" in one.log()
