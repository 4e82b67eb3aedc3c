"""Files replaced as programs replace them, each way whole: what stands there at any moment is the old one or the new one."""

import itertools
import os
import pathlib

NUMBERS = itertools.count()


def by_rename(path, text):
    """As Vault Agent does: another file in the same folder, renamed over it."""
    path = pathlib.Path(path)
    beside = path.with_name(f".{path.name}.{next(NUMBERS)}")
    beside.write_bytes(text if isinstance(text, bytes) else text.encode())
    os.rename(beside, path)


def lead(link, target):
    """Leads a symbolic link elsewhere, at once."""
    link = pathlib.Path(link)
    beside = link.with_name(f".{link.name}.{next(NUMBERS)}")
    beside.symlink_to(target)
    os.rename(beside, link)


def in_volume(folder, files):
    """As Kubernetes does: all `files`, {NAME: TEXT}, in a new folder, to which `..data` is led; the names lead through that."""
    folder = pathlib.Path(folder)
    fresh = folder / f"..{next(NUMBERS)}"
    fresh.mkdir(parents=True)
    for name, text in files.items():
        (fresh / name).write_text(text)
        if not (folder / name).is_symlink():
            (folder / name).symlink_to(f"..data/{name}")
    old = (folder / "..data").resolve() if (folder / "..data").is_symlink() else None
    lead(folder / "..data", fresh.name)
    for path in old.iterdir() if old else ():
        path.unlink()
    if old:
        old.rmdir()
