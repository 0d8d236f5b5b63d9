"""Who may read a file that holds a private key."""

import os
import stat


def exposure(path: str) -> str | None:
    """
    Return what to do about a file that every user of this machine can read, None if they cannot.

    Not where it was mounted so: Kubernetes gives each file of a Secret its own mode (0644 unless `defaultMode` says
    otherwise) inside a pod that has no other users, and a file that is a mount by itself (`subPath`, Docker's secrets)
    has the mode of the host's. ssh asks for the same of its keys.
    """
    if os.name != "posix":
        return None
    status = os.stat(path)  # noqa: PTH116  # pathlib is slow to import
    if not status.st_mode & stat.S_IROTH or _is_mounted(path):
        return None
    name = path if path.isprintable() else ascii(path)
    if status.st_uid == os.geteuid():
        return f"chmod 600 {name}"
    return f"chmod 640 {name}, and let its group be one of this process's"


def _is_mounted(path: str) -> bool:
    # Kubernetes swaps the link ..data when the Secret changes.
    folder = os.path.dirname(path) or "."  # noqa: PTH120
    return os.path.lexists(os.path.join(folder, "..data")) or os.path.ismount(path)  # noqa: PTH118
