"""When a key file that others can read is worth a warning, and which."""

import os
from pathlib import Path

import pytest

from proxy.config.permissions import exposure


def made(path: Path, mode: int) -> str:
    """Return a file with this mode."""
    path.write_text("x")
    path.chmod(mode)
    return str(path)


@pytest.mark.parametrize(
    ("mode", "warned"), [(0o600, False), (0o640, False), (0o440, False), (0o644, True), (0o604, True)]
)
def test_what_every_user_can_read(mode: int, warned: bool, tmp_path: Path) -> None:
    """The owner's and the group's rights are theirs; everybody's are not."""
    path = made(tmp_path / "key", mode)
    assert exposure(path) == (f"chmod 600 {path}" if warned else None)


def test_a_link_is_followed(tmp_path: Path) -> None:
    """The mode is that of the file."""
    made(tmp_path / "key", 0o644)
    (tmp_path / "link").symlink_to("key")
    assert exposure(str(tmp_path / "link")) == f"chmod 600 {tmp_path / 'link'}"


def test_a_kubernetes_volume_is_left_alone(tmp_path: Path) -> None:
    """Its files are 0644 links through ..data, as kubelet makes them, and no other user is in the pod."""
    versioned = tmp_path / "..2026_11_24"
    versioned.mkdir()
    made(versioned / "key", 0o644)
    (tmp_path / "..data").symlink_to(versioned.name)
    (tmp_path / "key").symlink_to("..data/key")
    assert exposure(str(tmp_path / "key")) is None


def test_a_file_in_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A path without a folder is one beside us."""
    monkeypatch.chdir(tmp_path)
    made(Path("key"), 0o644)
    assert exposure("key") == "chmod 600 key"
    Path("..data").symlink_to("x")
    assert exposure("key") is None


def test_another_owners_file_has_another_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """600 would lock us out: its owner must give it to our group."""
    path = made(tmp_path / "key", 0o644)
    monkeypatch.setattr(os, "geteuid", lambda: os.stat(path).st_uid + 1)  # noqa: PTH116
    assert exposure(path) == f"chmod 640 {path}, and let its group be one of this process's"
