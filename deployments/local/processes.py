"""Processes by an identity that is never reused, so that a signal reaches no other process."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

EXIT_POLL_SECONDS = 0.05
ORPHAN_GRACE_SECONDS = 1.0
KILL_WAIT_SECONDS = 10.0
"""How long the kernel may take to remove a killed process."""

_PROC = Path("/proc")
_BOOT_ID = _PROC / "sys" / "kernel" / "random" / "boot_id"
_MAX_LOG_BYTES = 16 * 1024 * 1024
_LOG_MODE = 0o600
_LISTENING = "0A"  # in /proc/net/tcp


class ProcessId(BaseModel):
    """The identity of a process. The kernel reuses a pid, but not at the same clock tick of the same boot."""

    model_config = ConfigDict(frozen=True)

    pid: int
    started_ticks: int
    """Clock ticks from the boot to the start of the process."""
    boot_id: str


@dataclass(frozen=True)
class _Entry:
    """The content of `/proc/<pid>/stat`."""

    pid: int
    state: str
    parent: int
    session: int
    threads: int
    started_ticks: int
    cpu_ticks: int
    """The CPU time of the process and of its children that have ended."""

    @property
    def runs(self) -> bool:
        """Whether any thread runs. The first thread of a killed process can be gone before the last one."""
        return self.state not in "ZX" or self.threads > 1


def spawn(
    command: Sequence[str], *, environment: Mapping[str, str], log_file: Path, inherited: Iterable[int] = ()
) -> ProcessId:
    """Start a process in a session of its own that outlives this process. Append its output to the log.

    Args:
        command: The program and its arguments.
        environment: All its variables.
        log_file: Where its output goes.
        inherited: The descriptors that it keeps open.

    Raises:
        OSError: It cannot be started.
    """
    if log_file.exists() and log_file.stat().st_size > _MAX_LOG_BYTES:
        log_file.replace(log_file.with_suffix(".log.1"))
    log = os.open(log_file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, _LOG_MODE)
    try:
        # Not subprocess.Popen: its object complains when the process outlives it, which is the purpose here.
        pid = os.posix_spawn(
            command[0],
            list(command),
            dict(environment),
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_DUP2, log, 1),
                (os.POSIX_SPAWN_DUP2, log, 2),
                *((os.POSIX_SPAWN_DUP2, each, each) for each in inherited),  # onto itself: open in the process alone
            ],
            setsid=True,
        )
    finally:
        os.close(log)
    return _identify(pid) or ProcessId(pid=pid, started_ticks=0, boot_id=_boot_id())


def reap(process: ProcessId) -> int | None:
    """Reap a child, and return its exit code (negative for a signal). None: it has not ended."""
    try:
        pid, status = os.waitpid(process.pid, os.WNOHANG)
    except ChildProcessError:
        return None
    return os.waitstatus_to_exitcode(status) if pid else None


def is_alive(process: ProcessId) -> bool:
    """Return whether this very process runs. A process that has ended and waits to be reaped does not."""
    entry = _entry(process.pid)
    return entry is not None and _is(entry, process) and entry.runs


def process_tree(leader: ProcessId, folder: Path) -> list[ProcessId]:
    """Return the leader, everything in its session, and all their descendants, as far as they live.

    When the leader has ended, its pid may name the session of another user. Then only processes count that hold a file
    open under `folder`.
    """
    if leader.boot_id != _boot_id():
        return []
    entries = {entry.pid: entry for entry in _entries() if entry.runs}
    head = _entry(leader.pid)
    if head is not None and not _is(head, leader):
        return []  # the pid is another process's now, so the kernel has no member of the old session left
    members = {
        pid
        for pid, entry in entries.items()
        if entry.session == leader.pid and (head is not None or _holds_file_under(pid, folder))
    }
    while grown := {pid for pid, entry in entries.items() if entry.parent in members} - members:
        members |= grown
    return [_named(entries[pid]) for pid in sorted(members)]


def command_line(pid: int) -> str:
    """Return the command line of a process, or the title that has replaced it. It is empty after its end."""
    try:
        return (_PROC / str(pid) / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        return ""


def cpu_seconds(members: Iterable[ProcessId]) -> float:
    """Return the CPU time that these processes have used, with their children that have ended."""
    entries = (_entry(member.pid) for member in members)
    return sum(entry.cpu_ticks for entry in entries if entry is not None) / os.sysconf("SC_CLK_TCK")


def listens(members: Iterable[ProcessId], port: int) -> bool:
    """Return whether one of these processes listens on a TCP port."""
    inodes = {f"socket:[{inode}]" for inode in _listening_inodes(port)}
    return any(inodes & _open_files(member.pid) for member in members)


def send(processes: Iterable[ProcessId], number: signal.Signals) -> None:
    """Send a signal to the processes that live."""
    for process in processes:
        try:
            handle = os.pidfd_open(process.pid)
        except ProcessLookupError:
            continue
        try:
            if is_alive(process):  # checked after the handle is taken, which could be that of another process
                signal.pidfd_send_signal(handle, number)
        except ProcessLookupError:
            continue
        finally:
            os.close(handle)


def wait_gone(processes: Iterable[ProcessId], *, timeout_seconds: float) -> list[ProcessId]:
    """Wait until all have ended. Return those that have not ended in time."""
    deadline = time.monotonic() + timeout_seconds
    left = everyone = list(processes)
    while left:
        left = [process for process in left if is_alive(process)]
        if time.monotonic() > deadline:
            break
        if left:
            time.sleep(EXIT_POLL_SECONDS)
    for process in everyone:
        reap(process)
    return left


def stop_tree(leader: ProcessId, folder: Path, *, grace_seconds: float) -> None:
    """End the leader, then the rest of its tree. Kill those that do not end in time. Return when all are gone."""
    members = process_tree(leader, folder)
    send([leader], signal.SIGTERM)
    wait_gone([leader], timeout_seconds=grace_seconds)
    left = {process.pid: process for process in [*members, *process_tree(leader, folder)] if is_alive(process)}
    orphans = [process for process in left.values() if process != leader]
    send(orphans, signal.SIGTERM)
    wait_gone(orphans, timeout_seconds=min(grace_seconds, ORPHAN_GRACE_SECONDS))
    send(left.values(), signal.SIGKILL)
    wait_gone(left.values(), timeout_seconds=KILL_WAIT_SECONDS)


def _boot_id() -> str:
    return _BOOT_ID.read_text().strip()


def _entry(pid: int) -> _Entry | None:
    try:
        text = (_PROC / str(pid) / "stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = text[text.rindex(")") + 2 :].split()  # the name before may hold spaces and parentheses
    parent, session, threads, started_ticks = (int(fields[index]) for index in (1, 3, 17, 19))
    return _Entry(pid, fields[0], parent, session, threads, started_ticks, sum(map(int, fields[11:15])))


def _entries() -> list[_Entry]:
    found = (_entry(int(path.name)) for path in _PROC.iterdir() if path.name.isdigit())
    return [entry for entry in found if entry is not None]


def _named(entry: _Entry) -> ProcessId:
    return ProcessId(pid=entry.pid, started_ticks=entry.started_ticks, boot_id=_boot_id())


def _identify(pid: int) -> ProcessId | None:
    entry = _entry(pid)
    return None if entry is None else _named(entry)


def _is(entry: _Entry, process: ProcessId) -> bool:
    return _named(entry) == process


def _holds_file_under(pid: int, folder: Path) -> bool:
    prefix = f"{folder.resolve()}/"
    return any(name.startswith(prefix) for name in _open_files(pid))


def _open_files(pid: int) -> set[str]:
    names = set()
    with suppress(OSError):  # it has ended, or is another user's
        for link in (_PROC / str(pid) / "fd").iterdir():
            with suppress(FileNotFoundError):  # closed since
                names.add(str(link.readlink()))
    return names


def _listening_inodes(port: int) -> set[str]:
    tables = (_PROC / "net" / name for name in ("tcp", "tcp6"))
    rows = [line.split() for table in tables if table.exists() for line in table.read_text().splitlines()[1:]]
    return {row[9] for row in rows if row[3] == _LISTENING and int(row[1].rsplit(":", 1)[1], 16) == port}
