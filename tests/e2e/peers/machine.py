"""A system of its own: the files of this one, over which it writes in memory, and, if wanted, a systemd that booted there.
It has a network, processes, names and cgroups of its own; all of it ends with close()."""

import contextlib
import os
import pathlib
import shutil
import subprocess

from .keystile import wait_for
from .wire import note

SYSTEMD = "/lib/systemd/systemd"

# $1: a folder; $2: "boot", or a program that holds the place. The kernel's settings (/proc/sys) are everybody's, so they are
# read-only, as is /sys.
ENTER = r"""
set -eu
mount -t tmpfs -o mode=755 tmpfs "$1"
mkdir "$1/upper" "$1/work" "$1/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work" "$1/root"
root=$1/root
mount -t proc proc "$root/proc"
mount --bind "$root/proc/sys" "$root/proc/sys"
mount -o remount,bind,ro "$root/proc/sys"
mount -t sysfs -o ro sysfs "$root/sys"
mount -t tmpfs -o mode=755 tmpfs "$root/dev"
for device in null zero full random urandom tty; do
	touch "$root/dev/$device"
	mount --bind "/dev/$device" "$root/dev/$device"
done
mkdir "$root/dev/pts" "$root/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666 devpts "$root/dev/pts"
mount -t tmpfs tmpfs "$root/dev/shm"
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"
mount -t tmpfs -o mode=755 tmpfs "$root/run"
mount -t tmpfs tmpfs "$root/tmp"
rm -f "$root/usr/sbin/policy-rc.d" "$root/var/lib/man-db/auto-update" # the index of all man pages takes a while
ip link set lo up
hostname machine
cd "$root"
pivot_root . mnt
umount -l /mnt
cd /
[ "$2" = boot ] || exec sleep infinity
mount --make-rshared / # or no service would see what is mounted for it: credentials
mount -t cgroup2 cgroup2 /sys/fs/cgroup
ln -sf /dev/null /etc/systemd/system/systemd-modules-load.service
: >/etc/machine-id
printf '[Unit]\nRequires=basic.target\nAfter=basic.target\n' >/etc/systemd/system/machine.target
exec env -i container=keystile PATH=/usr/sbin:/usr/bin:/sbin:/bin "$3" --system --unit=machine.target --show-status=no --log-target=null
"""

# systemd takes the cgroup in which it starts for the whole tree: one of its own.
CGROUP = r"""
set -eu
mount -t cgroup2 cgroup2 "$1"
mkdir -p "$1/$2"
echo $$ >"$1/$2/cgroup.procs"
umount "$1"
shift 2
exec "$@"
"""
CGROUP_GONE = r"""
mount -t cgroup2 cgroup2 "$1" && cd "$1" && find "./$2" -depth -type d -exec rmdir {} + ; cd / && umount "$1"
"""
NAMESPACES = ["--mount", "--pid", "--fork", "--kill-child", "--net", "--uts", "--ipc", "--cgroup"]


def why_not(boot):
    """Why this machine cannot have one; empty where it can."""
    if os.geteuid() != 0:
        return "only root mounts file systems"
    if boot and not os.path.exists(SYSTEMD):
        return "systemd is not installed"
    done = subprocess.run(["unshare", "--mount", "--cgroup", "sh", "-c", "mount -t cgroup2 cgroup2 /mnt && mount -t tmpfs tmpfs /mnt"],
                          capture_output=True, text=True)
    return f"no file systems may be mounted here: {done.stderr.strip()}" if done.returncode else ""


class Machine:
    def __init__(self, folder, boot=True):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir()
        self.cgroup = f"keystile-machine-{os.getpid()}-{self.folder.name}"
        self.holder = subprocess.Popen(
            ["unshare", "--mount", "sh", "-c", CGROUP, "cgroup", self.folder, self.cgroup,
             "unshare", *NAMESPACES, "sh", "-c", ENTER, "machine", self.folder, "boot" if boot else "hold", SYSTEMD],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.first = None
        try:
            self.first = wait_for(self._first, "the machine's first process", 60)
            if boot:
                wait_for(self._ready, "systemd to have started what it starts", 60)
        except BaseException:
            self.close()
            raise

    def _first(self):
        """What the scripts run on their way is a child of the holder as well, for a moment."""
        assert self.holder.poll() is None, f"the machine did not start: {self.holder.stdout.read().decode()}"
        for pid in pathlib.Path(f"/proc/{self.holder.pid}/task/{self.holder.pid}/children").read_text().split():
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                if pathlib.Path(f"/proc/{pid}/comm").read_text().strip() in ("sleep", "systemd"):
                    return pid

    def _ready(self):
        return self.run("systemctl", "is-active", "machine.target", check=False).stdout == "active\n"

    def command(self, *command):
        return ["nsenter", "--target", self.first, "--mount", "--pid", "--net", "--uts", "--ipc", "--cgroup", "--root",
                "env", "-i", "-C", "/", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LANG=C.UTF-8", "DEBIAN_FRONTEND=noninteractive",
                *map(str, command)]

    def run(self, *command, check=True, input=None, patience=60):
        done = subprocess.run(self.command(*command), capture_output=True, text=True, timeout=patience,
                              **({"stdin": subprocess.DEVNULL} if input is None else {"input": input}))
        if check:
            note(" ".join(map(str, command)), "said", done.stdout + done.stderr)
            assert done.returncode == 0, f"{command}: {done.returncode}: {done.stdout}{done.stderr}"
        return done

    def sh(self, script, **more):
        return self.run("sh", "-euc", script, **more).stdout

    def start(self, *command, **more):
        """A process that goes on; whoever starts it waits for it."""
        return subprocess.Popen(self.command(*command), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                text=True, **more)

    def put(self, path, text):
        self.run("sh", "-euc", 'cat >"$1"', "put", path, input=text)

    def close(self):
        self.holder.kill()
        self.holder.communicate()
        if self.first:
            wait_for(lambda: not os.path.exists(f"/proc/{self.first}"), "the machine to end")
        subprocess.run(["unshare", "--mount", "sh", "-c", CGROUP_GONE, "gone", self.folder, self.cgroup], capture_output=True)
        shutil.rmtree(self.folder, ignore_errors=True)
