"""Podman in namespaces of its own, with images that are made of what this machine has installed: no registry is asked."""

import ctypes
import io
import os
import pathlib
import re
import shutil
import socket
import subprocess
import tarfile
import tempfile
import threading

from .evidence import EVIDENCE
from .wire import note

ENTER = ["unshare", "--net", "--mount", "--kill-child", "--fork"]
# crun before 1.9 takes no hybrid of the two kinds of cgroups; an empty one of the second kind serves all.
# What networks know of each other, and which server of names runs, podman keeps in /run/containers for the whole machine.
PREPARE = ("ip link set lo up && mount -t cgroup2 none /sys/fs/cgroup && mkdir -p /run/containers && mount -t tmpfs none /run/containers && "
           "echo up && read -r end")
CLONE_NEWNET = 0x40000000
# What a Debian image has before anything is installed in it, with what these depend on.
BASE = "apt base-files base-passwd bash coreutils dash debianutils dpkg findutils grep libc-bin login passwd sed tar".split()
SKIP = re.compile(r"/usr/share/(doc|doc-base|man|info|locale|lintian|bash-completion)/.|/usr/share/(man|info)$")
SETTINGS = """[containers]
cgroups = "disabled"
default_ulimits = ["nofile=1024:1024", "nproc=4096:4096"]
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
"""


def missing():
    """Why there can be no containers here; None if there can."""
    for program in ("podman", "netavark", "iptables"):
        if not any(shutil.which(program, path=path) for path in (os.environ["PATH"], "/usr/sbin", "/usr/lib/podman")):
            return f"{program} is not installed"
    done = subprocess.run([*ENTER, "sh", "-c", PREPARE], input="\n", capture_output=True, text=True)
    return None if done.returncode == 0 else f"no namespaces and cgroups for containers here: {done.stderr.strip()}"


class Containers:
    """Namespaces, a store and its images, in `folder`."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.holder = subprocess.Popen([*ENTER, "sh", "-c", PREPARE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.holder.stdout.readline() == "up\n"
        child = pathlib.Path(f"/proc/{self.holder.pid}/task/{self.holder.pid}/children").read_text().split()[0]
        self.namespaces = f"/proc/{child}/ns"
        self.launcher = ["nsenter", f"--net={self.namespaces}/net", f"--mount={self.namespaces}/mnt", f"--wd={os.getcwd()}"]
        settings = self.folder / "containers.conf"
        settings.write_text(SETTINGS)
        # Sockets have names of 107 bytes at most, and these stand deep in it.
        self.run_folder = tempfile.mkdtemp(prefix="ks-", dir="/tmp")
        (self.folder / "networks").mkdir()
        self.store = ["--root", self.folder / "store", "--runroot", self.run_folder, "--network-config-dir", self.folder / "networks"]
        self.environment = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": str(self.folder),
                            "CONTAINERS_CONF": str(settings), "LANG": "C.UTF-8"}

    def run(self, *argv, check=True, cwd=None, **more):
        argv = [*self.launcher[:-1], f"--wd={cwd or self.folder}", *map(str, argv)]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=60, env={**self.environment, **more})
        note(" ".join(argv[4:]), "said", f"{done.stdout}{done.stderr}[{done.returncode}]")
        EVIDENCE.add("containers' output", (done.stdout + done.stderr).encode())
        assert not check or done.returncode == 0, f"{argv[4:]}: {done.returncode}: {done.stdout}{done.stderr}"
        return done

    def podman(self, *argv, **more):
        return self.run("podman", *self.store, *argv, **more)

    def socket(self, family=socket.AF_INET, kind=socket.SOCK_STREAM):
        """A socket in the network that the containers' networks are bridged in, neither bound nor connected."""
        made = []

        def make():
            with open(f"{self.namespaces}/net") as namespace:
                if ctypes.CDLL(None, use_errno=True).setns(namespace.fileno(), CLONE_NEWNET) == 0:
                    made.append(socket.socket(family, kind))

        thread = threading.Thread(target=make)
        thread.start()
        thread.join()
        return made[0]

    def image(self, name, entries):
        """Makes an image of tar entries, each (TarInfo, and a file where it is one). Of those with one name the first counts."""
        path, seen = self.folder / "image.tar", set()
        with tarfile.open(path, "w") as tar:
            for entry in entries:
                if entry[0].name not in seen:
                    tar.addfile(*entry)
                seen.add(entry[0].name)
        self.podman("import", "-q", path, name)
        path.unlink()

    def close(self):
        for _ in range(2):  # one whose network others have is kept by them
            self.podman("rm", "--all", "--force", "--time", "0", check=False)
        self.holder.communicate("\n", timeout=10)  # with the namespaces all mounts in the store are gone
        shutil.rmtree(self.folder / "store", ignore_errors=True)
        shutil.rmtree(self.run_folder, ignore_errors=True)


def closure(names):
    """These installed packages, and all that they depend on, as dpkg's database has it here."""
    shown = subprocess.run(["dpkg-query", "-W", "-f", "${binary:Package}\t${Provides}\t${Depends}, ${Pre-Depends}\n"],
                           capture_output=True, text=True, check=True).stdout
    depends, provided = {}, {}
    for line in shown.splitlines():
        package, provides, needs = line.split("\t")
        plain = package.split(":")[0]
        depends[plain] = [[word.split("(")[0].split(":")[0].strip() for word in group.split("|")] for group in needs.split(",")]
        for name in [plain, *(word.split("(")[0].strip() for word in provides.split(","))]:
            provided.setdefault(name, plain)
    found, todo = set(), list(names)
    while todo:
        package = provided.get(todo.pop())
        if package and package not in found:
            found.add(package)
            todo += [next((word for word in group if word in provided), "") for group in depends[package]]
    return sorted(found)


def debian(names):
    """Tar entries of a small Debian: BASE, the packages `names`, and what they depend on, as they are installed here. To its
    apt they are installed; it has no sources."""
    packages = closure([*BASE, *names])
    listed = subprocess.run(["dpkg-query", "-L", *packages], capture_output=True, text=True, check=True).stdout
    paths = {path for path in listed.splitlines() if path.startswith("/") and path != "/." and not SKIP.match(path)}
    tops = {path for path in ("/bin", "/sbin", "/lib", "/lib64") if os.path.islink(path)}
    paths = {"/usr" + path if "/" + path.split("/")[1] in tops else path for path in paths}
    paths |= tops | {"/etc/passwd", "/etc/group", "/etc/ssl/certs/ca-certificates.crt"}
    yield from made(packages)
    writer = tarfile.TarFile(fileobj=open(os.devnull, "wb"), mode="w")
    for path in sorted(path for path in paths if os.path.lexists(path)):
        entry = writer.gettarinfo(path)
        if entry is None:
            continue
        if entry.islnk():
            entry.type, entry.size = tarfile.REGTYPE, os.path.getsize(path)
        yield (entry, open(path, "rb")) if entry.isreg() else (entry,)


def made(packages):
    """What no package lists: apt's and dpkg's own folders, and the database."""
    for path, mode in {"etc/apt/sources.list.d": 0o755, "var/lib/apt/lists/partial": 0o755, "var/cache/apt/archives/partial": 0o755,
                       "var/lib/dpkg/info": 0o755, "var/lib/dpkg/updates": 0o755, "tmp": 0o1777, "var/tmp": 0o1777,
                       "root": 0o700, "run": 0o755, "proc": 0o755, "sys": 0o755, "dev": 0o755}.items():
        entry = tarfile.TarInfo(path)
        entry.type, entry.mode = tarfile.DIRTYPE, mode
        yield (entry,)
    text = pathlib.Path("/var/lib/dpkg/status").read_text()
    kept = [part for part in text.split("\n\n") if part and part.split("\n", 1)[0].removeprefix("Package: ") in packages]
    yield text_entry("var/lib/dpkg/status", "\n\n".join(kept) + "\n\n")
    yield text_entry("etc/shadow", "root:*:1:0:99999:7:::\n")


def text_entry(path, text):
    entry = tarfile.TarInfo(path)
    entry.size, entry.mode = len(text.encode()), 0o644
    return entry, io.BytesIO(text.encode())


def program_entry(path, file):
    entry = tarfile.TarInfo(path)
    entry.size, entry.mode = os.path.getsize(file), 0o755
    return entry, open(file, "rb")
