"""A process in the sandbox can do little. Each attempt runs in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ATTEMPTS = {
    "read a file of the system": "open('/etc/passwd').read()",
    "read a file of the service": f"open({str(Path(__file__))!r}).read()",
    "read the parent's environment": "open(f'/proc/{os.getppid()}/environ', 'rb').read()",
    "read the parent's memory": "open(f'/proc/{os.getppid()}/mem', 'rb').read(1)",
    "list a folder": "os.listdir('/')",
    "write a file": "open('/tmp/darkroom-sandbox', 'w')",
    "empty a library": "os.open(library, os.O_RDONLY | os.O_TRUNC)",
    "write a library": "open(os.__file__ + '.new', 'w')",
    "remove a file": "os.unlink('/tmp/darkroom-sandbox')",
    "make a folder": "os.mkdir('/tmp/darkroom-sandbox')",
    "open a TCP connection": "socket.create_connection(('127.0.0.1', 1), 1)",
    "send a datagram": "socket.socket(socket.AF_INET, socket.SOCK_DGRAM)",
    "open a Unix socket": "socket.socket(socket.AF_UNIX)",
    "start a program": "os.execv('/bin/true', ['true'])",
    "start a process": "os.fork()",
    "signal the parent": "os.kill(os.getppid(), 0)",
    "signal the parent in another way": "call(234, os.getppid(), os.getppid(), 0)",
    "own a pipe in the parent's name": "fcntl.fcntl(0, fcntl.F_SETOWN, os.getppid())",
    "choose a pipe's signal": "fcntl.fcntl(0, 10, 9)",
    "trace the parent": "call(101, 16, os.getppid(), 0, 0)",
    "read the parent's memory by a call": "call(310, os.getppid(), 0, 0, 0, 0, 0)",
    "mount a file system": "call(165, 0, 0, 0, 0, 0)",
    "use io_uring": "call(425, 1, 0)",
    "enter a namespace": "call(272, 0x10000000)",
    "load a BPF program": "call(321, 0, 0, 0)",
}
PROGRAM = """
import ctypes, fcntl, os, pathlib, socket, sys
from actors.worker import sandbox

def call(number, *arguments):
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.syscall(number, *arguments) < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))

library = pathlib.Path(sys.argv[1])
sandbox._library_folders = lambda folders=sandbox._library_folders(): {{*folders, library.parent}}
missing = sandbox.enter()
assert not missing, missing
try:
    {attempt}
except OSError:
    print("refused", flush=True)
else:
    print("done", flush=True)
"""


def outcome(attempt: str, folder: Path, program: str = PROGRAM) -> str:
    library = folder / "library.so"
    library.write_bytes(bytes(1_000))
    command = [sys.executable, "-c", program.format(attempt=attempt), str(library)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize("what", ATTEMPTS)
def test_a_decoder_that_was_taken_over_cannot(what: str, tmp_path: Path) -> None:
    assert outcome(ATTEMPTS[what], tmp_path) == "refused"


@pytest.mark.parametrize(
    "need",
    [
        "import threading; thread = threading.Thread(target=print); thread.start(); thread.join()",
        "import encodings.utf_16_be, decimal",
        "os.urandom(8), bytes(200_000_000)",
    ],
    ids=["start a thread", "load a library", "take memory"],
)
def test_a_decoder_still_can(need: str, tmp_path: Path) -> None:
    assert outcome(need, tmp_path) == "done"


@pytest.mark.parametrize("attempt", [each for each in ATTEMPTS if "signal" in each or "empty" in each or "TCP" in each])
@pytest.mark.parametrize("version", [1, 2, 3])
def test_an_older_landlock_is_enough(attempt: str, version: int, tmp_path: Path) -> None:
    """It knows truncation since version 3, TCP since version 4 and signals since version 6."""
    older = f"sandbox._FILE_RIGHTS = dict.fromkeys(range(1, 6), sandbox._FILE_RIGHTS[{version}])"
    without = "sandbox._SCOPES_SINCE = sandbox._NETWORK_SINCE = 1_000"
    program = PROGRAM.replace("missing =", f"{older}; {without}\nmissing =")
    assert outcome(ATTEMPTS[attempt], tmp_path, program) == "refused"


def test_a_process_with_a_second_thread_is_refused() -> None:
    program = "import threading; threading.Timer(1, print).start(); from actors.worker import sandbox; sandbox.enter()"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert "would keep its rights" in done.stderr
