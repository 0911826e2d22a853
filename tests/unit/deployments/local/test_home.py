from __future__ import annotations

import os
import stat
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from cluster.errors import HomeBusyError
from cluster.secrets import Secrets
from cluster.settings import Settings
from deployments.local import Home
from deployments.local.credentials import Credentials
from deployments.local.home import MAX_SHORT_CHARACTERS
from deployments.local.private_files import write_private

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

STARTS, ROUNDS = 8, 50


@pytest.fixture(params=[0o022, 0o777, 0o000], ids=oct)
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    made = Home(tmp_path / ".darkroom")
    made.create()
    return made


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_private_file_has_its_mode_under_every_umask(tmp_path: Path, umask: int) -> None:
    path = tmp_path / "secret"
    write_private(path, "first")
    write_private(path, "second")
    assert path.read_text() == "second"
    assert mode(path) == 0o600
    assert [each.name for each in tmp_path.iterdir()] == ["secret"]


def test_only_the_owner_can_enter_the_folder(home: Home) -> None:
    assert mode(home.path) == 0o700
    assert (home.path / ".gitignore").read_text() == "*\n"


def test_the_folder_is_closed_again_when_it_was_open(home: Home) -> None:
    home.path.chmod(0o755)
    home.create()
    assert mode(home.path) == 0o700


def test_secrets_are_made_once_and_kept(home: Home) -> None:
    first = Credentials.of(home)
    assert Credentials.of(home) == first
    assert mode(home.secrets_file) == mode(home.ray_token_file) == 0o600
    assert home.ray_token_file.read_text() == first.ray_token
    assert first.secret_key not in repr(first)


def test_the_secret_key_is_long_enough(home: Home) -> None:
    Secrets(Settings(secret_key=Credentials.of(home).secret_key))


def test_two_folders_share_no_secret(tmp_path: Path) -> None:
    kept = []
    for name in "ab":
        home = Home(tmp_path / name)
        home.create()
        kept.append(Credentials.of(home).model_dump())
    assert not set(kept[0].values()) & set(kept[1].values())


def test_one_process_at_a_time_works_on_the_folder(home: Home) -> None:
    refused: list[BaseException] = []

    def second() -> None:
        try:
            with home.locked():
                pass
        except HomeBusyError as error:
            refused.append(error)

    with home.locked():
        thread = threading.Thread(target=second)
        thread.start()
        thread.join()
    assert str(home.path) in str(refused[0])
    with home.locked():
        pass


def test_a_waiting_process_gets_the_folder_when_it_is_free(home: Home) -> None:
    held, is_over = threading.Event(), threading.Event()

    def first() -> None:
        with home.locked():
            held.set()
            is_over.wait(10)

    thread = threading.Thread(target=first)
    thread.start()
    assert held.wait(10)
    with pytest.raises(HomeBusyError), home.locked(wait_seconds=0.1):
        pass
    timer = threading.Timer(0.2, is_over.set)
    timer.start()
    with home.locked(wait_seconds=10):
        assert is_over.is_set()
    for each in (thread, timer):
        each.join()


def test_a_short_path_is_used_as_it_is(home: Home) -> None:
    short = Home(home.path)
    short.path = home.path.__class__("/srv/.darkroom")
    assert short.short_path() == short.path


def test_a_long_path_gets_a_link_that_leads_to_the_same_files(tmp_path: Path) -> None:
    home = Home(tmp_path / ("long" * 20) / ".darkroom")
    home.create()
    try:
        assert len(str(home.short_path())) <= MAX_SHORT_CHARACTERS
        assert (home.short_path() / "ray").samefile(home.ray)
        assert home.short_path() == home.short_path()
    finally:
        link = home.short_path()
        home.remove_link()
    assert not link.is_symlink()
    assert home.ray.is_dir()


def test_a_link_that_leads_elsewhere_is_replaced(tmp_path: Path) -> None:
    home = Home(tmp_path / ("long" * 20) / ".darkroom")
    home.create()
    try:
        link = home.short_path()
        link.unlink()
        link.symlink_to(tmp_path)
        assert home.short_path().readlink() == home.path
    finally:
        home.remove_link()


def test_starts_beside_each_other_get_the_same_link(tmp_path: Path) -> None:
    home = Home(tmp_path / ("long" * 20) / ".darkroom")
    home.create()
    together = threading.Barrier(STARTS)

    def start(_number: int) -> Path:
        together.wait()
        return home.short_path()

    try:
        with ThreadPoolExecutor(STARTS) as pool:
            for _ in range(ROUNDS):
                home.remove_link()
                assert len(set(pool.map(start, range(STARTS)))) == 1
        link = home.short_path()
        assert list(link.parent.glob(f"{link.name}*")) == [link]
    finally:
        home.remove_link()


def test_a_link_folder_that_others_can_write_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    open_folder = tmp_path / "open"
    open_folder.mkdir()
    open_folder.chmod(0o777)
    monkeypatch.setattr("deployments.local.home._SHORT_FOLDER", str(open_folder))
    with pytest.raises(PermissionError, match="belongs to another user, or others can write to it"):
        Home(tmp_path / ("long" * 20)).short_path()


def test_after_the_link_is_gone_the_latest_session_is_still_found(tmp_path: Path) -> None:
    home = Home(tmp_path / ("long" * 20) / ".darkroom")
    home.create()
    session = home.ray / "session_2026"
    session.mkdir()
    (home.ray / "session_latest").symlink_to(home.short_path() / "ray" / "session_2026")
    home.remove_link()
    assert (home.ray / "session_latest").samefile(session)


def test_the_first_key_and_the_address_are_read_back(home: Home) -> None:
    assert home.api_key is None
    assert home.url is None
    write_private(home.api_key_file, "dk_1_secret\n")
    write_private(home.state_file, '{"url": "http://127.0.0.1:8001"}')
    assert home.api_key == "dk_1_secret"
    assert home.url == "http://127.0.0.1:8001"
