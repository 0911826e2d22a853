"""The rights that a process gives up for good: files, network, other processes and programs.

Landlock closes the file system, but for the libraries, which stay readable. A seccomp filter lets through the system
calls that decoders and encoders need. Every other call gets ENOSYS, as from an older kernel, so that a library goes on
without it.

Sources: landlock(7), seccomp(2), https://www.kernel.org/doc/html/latest/userspace-api/landlock.html,
https://www.kernel.org/doc/html/latest/userspace-api/seccomp_filter.html
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import resource
import signal
import struct
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

_PR_SET_PDEATHSIG, _PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP = 1, 38, 22
_LANDLOCK_CREATE_RULESET, _LANDLOCK_ADD_RULE, _LANDLOCK_RESTRICT_SELF = 444, 445, 446  # the same on every machine
_LANDLOCK_CREATE_RULESET_VERSION = 1
_LANDLOCK_RULE_PATH_BENEATH = 1
_READ_FILE, _READ_DIRECTORY = 1 << 2, 1 << 3
# The rights over files of each version of Landlock. Their bits follow one another.
_FILE_RIGHTS: Final = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}
_NETWORK_SINCE, _SCOPES_SINCE = 4, 6
_NETWORK_RIGHTS = 0b11  # bind and connect of TCP
_SCOPES = 0b11  # abstract Unix sockets and signals

_MACHINE: Final = "x86_64"
_AUDIT_ARCH_X86_64 = 0xC000003E
_RETURN_ALLOW, _RETURN_ERRNO = 0x7FFF0000, 0x00050000
_LOAD_WORD, _JUMP_IF_EQUAL, _JUMP_IF_SET, _RETURN = 0x20, 0x15, 0x45, 0x06  # classic BPF
_SECCOMP_MODE_FILTER = 2
_NUMBER_AT, _ARCHITECTURE_AT = 0, 4  # of struct seccomp_data, little-endian
_ARGUMENT_AT = (16, 24, 32)  # the lower half, which is all that the kernel reads of an int
# Numbers of x86-64, from asm/unistd_64.h.
_ALLOWED_CALLS: Final = {
    "read": 0,
    "write": 1,
    "close": 3,
    "fstat": 5,
    "lseek": 8,
    "mmap": 9,
    "mprotect": 10,
    "munmap": 11,
    "brk": 12,
    "rt_sigaction": 13,
    "rt_sigprocmask": 14,
    "rt_sigreturn": 15,
    "pread64": 17,
    "readv": 19,
    "writev": 20,
    "sched_yield": 24,
    "mremap": 25,
    "madvise": 28,
    "nanosleep": 35,
    "setitimer": 38,
    "getpid": 39,
    "exit": 60,
    "getcwd": 79,
    "readlink": 89,
    "getrusage": 98,
    "sysinfo": 99,
    "sigaltstack": 131,
    "gettid": 186,
    "futex": 202,
    "sched_getaffinity": 204,
    "getdents64": 217,
    "restart_syscall": 219,
    "clock_gettime": 228,
    "clock_getres": 229,
    "clock_nanosleep": 230,
    "exit_group": 231,
    "newfstatat": 262,
    "set_robust_list": 273,
    "getrandom": 318,
    "rseq": 334,
    "getcpu": 309,
    "membarrier": 324,
    "statx": 332,
}
_CLONE, _FCNTL, _TGKILL, _OPENAT = 56, 72, 234, 257  # clone3 hides its flags in memory, and glibc does without it
_CLONE_THREAD = 0x00010000
_OPEN_TO_CHANGE = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC  # Landlock knows truncation since Linux 6.2
# F_DUPFD, F_GETFD, F_SETFD, F_GETFL and F_DUPFD_CLOEXEC. Others let the kernel send signals to any process of the user.
_FCNTL_COMMANDS = (0, 1, 2, 3, 1030)

_libc = ctypes.CDLL(None, use_errno=True)


def enter() -> list[str]:
    """Give up the rights of this process.

    Returns:
        The parts that this machine lacks, of `landlock` and `seccomp`.

    Raises:
        RuntimeError: The process has a second thread, which would keep its rights.
    """
    if len(list(Path("/proc/self/task").iterdir())) > 1:
        raise RuntimeError("a thread has started before the sandbox was entered, and would keep its rights")
    _die_with_parent()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    missing = []
    for name, close in {"landlock": _close_files, "seccomp": _close_calls}.items():
        try:
            close()
        except OSError:
            missing.append(name)
    return missing


def _die_with_parent() -> None:
    parent = os.getppid()
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before
        os._exit(1)


def _close_files() -> None:
    version = _syscall(_LANDLOCK_CREATE_RULESET, None, 0, _LANDLOCK_CREATE_RULESET_VERSION)
    handled_files = (1 << _FILE_RIGHTS[min(version, max(_FILE_RIGHTS))]) - 1
    handled_network = _NETWORK_RIGHTS if version >= _NETWORK_SINCE else 0
    scoped = _SCOPES if version >= _SCOPES_SINCE else 0
    attributes = struct.pack("=QQQ", handled_files, handled_network, scoped)
    known_bytes = 24 if version >= _SCOPES_SINCE else 16 if version >= _NETWORK_SINCE else 8
    rules = _syscall(_LANDLOCK_CREATE_RULESET, attributes, known_bytes, 0)
    for folder in _library_folders():
        beneath = os.open(folder, os.O_PATH | os.O_CLOEXEC)
        rule = struct.pack("=Qi", _READ_FILE | _READ_DIRECTORY, beneath)
        _syscall(_LANDLOCK_ADD_RULE, rules, _LANDLOCK_RULE_PATH_BENEATH, rule, 0)
        os.close(beneath)
    _syscall(_LANDLOCK_RESTRICT_SELF, rules, 0)
    os.close(rules)


def _library_folders() -> set[Path]:
    """Return the folders of Python's modules and of shared libraries. Some are loaded at their first use."""
    of_python = {Path(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    return {
        folder.resolve() for folder in {*of_python, Path("/lib"), Path("/usr/lib"), Path("/lib64")} if folder.exists()
    }


def _close_calls() -> None:
    if platform.machine() != _MACHINE:
        raise OSError(errno.ENOSYS, "the numbers of the system calls are those of another machine")
    program = [
        _instruction(_LOAD_WORD, _ARCHITECTURE_AT),
        _instruction(_JUMP_IF_EQUAL, _AUDIT_ARCH_X86_64, if_true=1),
        _REFUSE,
        _instruction(_LOAD_WORD, _NUMBER_AT),
    ]
    for number in _ALLOWED_CALLS.values():
        program += _if_call(number, [_ALLOW])
    program += _if_call(_CLONE, _if_argument(0, _JUMP_IF_SET, [_CLONE_THREAD]))
    program += _if_call(_FCNTL, _if_argument(1, _JUMP_IF_EQUAL, _FCNTL_COMMANDS))
    program += _if_call(_TGKILL, _if_argument(0, _JUMP_IF_EQUAL, [os.getpid()]))
    program += _if_call(_OPENAT, _unless_argument(2, _OPEN_TO_CHANGE))
    program.append(_REFUSE)
    code = ctypes.create_string_buffer(b"".join(program), len(program) * len(_REFUSE))
    filter_program = struct.pack("@HP", len(program), ctypes.addressof(code))
    _prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, filter_program)


def _if_call(number: int, then: Sequence[bytes]) -> list[bytes]:
    return [_instruction(_JUMP_IF_EQUAL, number, if_false=len(then)), *then]


def _if_argument(index: int, test: int, values: Sequence[int]) -> list[bytes]:
    """Allow the call when an argument passes the test for one of the values, else refuse it."""
    tests = [_instruction(test, value, if_true=len(values) - at) for at, value in enumerate(values)]
    return [_instruction(_LOAD_WORD, _ARGUMENT_AT[index]), *tests, _REFUSE, _ALLOW]


def _unless_argument(index: int, bits: int) -> list[bytes]:
    """Refuse the call when an argument has one of the bits, else allow it."""
    test = _instruction(_JUMP_IF_SET, bits, if_true=1)
    return [_instruction(_LOAD_WORD, _ARGUMENT_AT[index]), test, _ALLOW, _REFUSE]


def _instruction(code: int, operand: int, *, if_true: int = 0, if_false: int = 0) -> bytes:
    """Return a struct sock_filter. Jumps count from the next instruction."""
    return struct.pack("=HBBI", code, if_true, if_false, operand)


_ALLOW, _REFUSE = _instruction(_RETURN, _RETURN_ALLOW), _instruction(_RETURN, _RETURN_ERRNO | errno.ENOSYS)


def _prctl(option: int, *arguments: object) -> None:
    _checked(_libc.prctl(option, *arguments, *(0 for _ in range(4 - len(arguments)))))


def _syscall(number: int, *arguments: object) -> int:
    return _checked(_libc.syscall(number, *arguments))


def _checked(result: int) -> int:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result
