"""The restrictions that a child process puts on itself before it runs code that nobody has read.

Three kinds, from the kernel outwards. Only the first two hold against code that means harm:

1. Limits (any Unix): CPU seconds, address space, open files, core files, and no byte may be written to any file.
2. Linux on x86-64 and AArch64: seccomp allows the system calls of `system_calls.CALLS` and refuses all others; Landlock
   leaves the standard library and the shared libraries readable and nothing else; all capabilities are given up; and
   the process ends with its parent. Threads stay allowed, and so is `socketpair`, which asyncio needs.
3. An audit hook, everywhere: the same as errors of Python. It is no security boundary (ctypes and the interpreter's own
   bugs go round it), and where the kernel offers nothing of the second kind it is all that guards files and network.

Landlock came with Linux 5.13 and grew since: truncating files (version 3 of its interface), TCP (4), devices (5),
signals and abstract sockets (6). What an older one does not know the list of system calls refuses, so version 1 is
enough. `stat` tells whether a file exists and how large it is: neither hides that. This file and its neighbours import
the standard library alone: a child has no package of the parent in reach.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import struct
import sys
from collections.abc import Callable

TYPE_CHECKING = False  # as type checkers know it: `typing` would take 2 ms of the 25 that a child needs to start
if TYPE_CHECKING:
    from typing import Any

_EPERM, _ENOSYS, _ALLOW, _KILL = 0x00050000 | 1, 0x00050000 | 38, 0x7FFF0000, 0x80000000  # what a filter returns
_LOAD, _AND, _EQUAL, _RETURN = 0x20, 0x54, 0x15, 0x06
_ELSE = -1  # a jump behind the alternative, until its distance is known
_AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}

_PARENT_DEATH, _DUMPABLE, _NO_NEW_PRIVILEGES, _SECCOMP, _FILTER = 1, 4, 38, 22, 2  # of prctl
_CAPSET = {"x86_64": 126, "aarch64": 91}
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_READ_FILE, _READ_DIR, _WRITE_FILE = 1 << 2, 1 << 3, 1 << 1
_DEVICES = {"/dev/null": _READ_FILE | _WRITE_FILE, "/dev/urandom": _READ_FILE, "/etc/localtime": _READ_FILE}

Instruction = tuple[int, int, int, int]  # code, jump if true, jump if false, operand


def enforce(seconds: int, megabytes: int, landlock: int | None, calls: Any) -> list[str]:
    """Enforces every restriction that this platform offers, for good. Returns the names of those in force.

    `landlock` is the version of its interface to use at most (None: the kernel's), `calls` the module `system_calls`.
    """
    in_force = _limits({"CPU": seconds, "AS": megabytes << 20, "FSIZE": 0, "CORE": 0, "NOFILE": 64})
    if sys.platform == "linux" and (machine := os.uname().machine) in _AUDIT_ARCH:
        steps: dict[str, Callable[[], object]] = {
            "orphan": lambda: _prctl(_PARENT_DEATH, 9, 0),
            "dump": lambda: _prctl(_DUMPABLE, 0, 0),  # a crash starts no handler of the system, and nobody traces it
            "capabilities": lambda: _call(_CAPSET[machine], struct.pack("=Ii", 0x20080522, 0), bytes(24)),
            "landlock": lambda: _landlock(landlock),
            "seccomp": lambda: _seccomp(machine, calls),
        }
        for name, restrict in steps.items():
            with contextlib.suppress(OSError):
                restrict()
                in_force.append(name)
    if "seccomp" not in in_force:
        _limits({"NPROC": 0})  # all processes of the user count, so none can be added; root is exempt
    sys.addaudithook(_guard())
    return [*in_force, "audit"]


def _limits(limits: dict[str, int]) -> list[str]:
    """Sets resource limits, or leaves stricter ones. Returns the names of those in force, in small letters."""
    import resource

    in_force = []
    for name, value in limits.items():
        with contextlib.suppress(OSError, ValueError, AttributeError):
            kind = getattr(resource, f"RLIMIT_{name}")
            _, hard = resource.getrlimit(kind)
            most = value if hard == resource.RLIM_INFINITY else min(value, hard)
            resource.setrlimit(kind, (most, most))
            in_force.append(name.lower())
    return in_force


def _call(number: int, *arguments: object) -> int:
    result = int(_libc().syscall(ctypes.c_long(number), *arguments))
    if result < 0:
        raise OSError(ctypes.get_errno(), f"system call {number}")
    return result


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _prctl(*arguments: object) -> None:
    if _libc().prctl(*arguments, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl")


def _landlock(most: int | None) -> None:
    """Files: read what imports need. TCP, abstract sockets, signals: as far as this kernel, or version `most`, goes."""
    version = _call(_CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint32(1))
    if most is not None:
        version = min(version, most)
    if version < 1:
        raise OSError("Landlock is not there")
    files = (1 << 13) - 1 | (version >= 2) << 13 | (version >= 3) << 14 | (version >= 5) << 15
    attributes = struct.pack("=QQQ", files, 3 * (version >= 4), 3 * (version >= 6))
    size = 8 + 8 * (version >= 4) + 8 * (version >= 6)
    rules = _call(_CREATE_RULESET, attributes, ctypes.c_size_t(size), ctypes.c_uint32(0))
    for path, rights in {**dict.fromkeys(_readable(), _READ_FILE | _READ_DIR), **_DEVICES}.items():
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            opened = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            rule = struct.pack("=Qi", rights, opened)
            _call(_ADD_RULE, ctypes.c_int(rules), ctypes.c_int(1), rule, ctypes.c_uint32(0))
            os.close(opened)
    _prctl(_NO_NEW_PRIVILEGES, 1, 0)
    _call(_RESTRICT_SELF, ctypes.c_int(rules), ctypes.c_uint32(0))
    os.close(rules)


def _readable() -> tuple[str, ...]:
    """The folders of the standard library and of shared libraries, and the empty one in which we are."""
    shared = ("/usr/lib", "/usr/lib64", "/lib", "/lib64", "/usr/share/zoneinfo")
    return (os.path.join(sys.base_prefix, "lib"), *sys.path, *shared, os.getcwd())


def _seccomp(machine: str, calls: Any) -> None:
    """A filter of system calls. A refusal is an error (EPERM) of that call; another calling convention is the end."""
    lines: list[Instruction] = [
        (_LOAD, 0, 0, 4),  # the calling convention
        (_EQUAL, 1, 0, _AUDIT_ARCH[machine]),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, 0),  # the number of the call; those of x32 begin at 1 << 30 and are none of ours
    ]
    for call in calls.CALLS.values():
        number = getattr(call, machine)
        if number is not None:
            lines += _lines(number, call.allowed)
    clone3 = getattr(calls.CLONE3, machine)
    lines += [(_EQUAL, 0, 1, clone3), (_RETURN, 0, 0, _ENOSYS), (_RETURN, 0, 0, _EPERM)]
    program = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *line) for line in lines))
    _prctl(_NO_NEW_PRIVILEGES, 1, 0)
    _prctl(_SECCOMP, _FILTER, struct.pack("@HP", len(lines), ctypes.addressof(program)))


def _lines(number: int, alternatives: Any) -> list[Instruction]:
    """What is done for one call: allow it, or only if one of the alternatives holds."""
    lines: list[Instruction] = []
    for tests in alternatives:
        lines += _alternative(tests)
    lines.append((_RETURN, 0, 0, _EPERM if alternatives else _ALLOW))
    return [(_EQUAL, 0, len(lines), number), *lines]


def _alternative(tests: Any) -> list[Instruction]:
    """Allows the call if all tests hold, else goes on behind itself."""
    lines: list[Instruction] = []
    for argument, mask, values in tests:
        for half in (4, 0):  # the upper 32 bits first; both machines are little-endian
            operands = sorted({value >> 8 * half & 0xFFFFFFFF for value in values})
            lines += [(_LOAD, 0, 0, 16 + 8 * argument + half), (_AND, 0, 0, mask >> 8 * half & 0xFFFFFFFF)]
            for left in range(len(operands) - 1, 0, -1):
                lines.append((_EQUAL, left, 0, operands[left]))
            lines.append((_EQUAL, 0, _ELSE, operands[0]))
    lines.append((_RETURN, 0, 0, _ALLOW))
    for position, (code, if_true, if_false, operand) in enumerate(lines):
        if if_false == _ELSE:
            lines[position] = (code, if_true, len(lines) - position - 1, operand)
    return lines


_FORBIDDEN = (
    *("os.fork", "os.posix_spawn", "os.exec", "os.spawn", "os.system", "os.startfile", "subprocess.", "pty."),
    *("os.kill", "os.remove", "os.rename", "os.rmdir", "os.mkdir", "os.link", "os.symlink", "os.truncate", "os.chmod"),
    *("os.chown", "os.utime", "os.setxattr", "os.removexattr", "shutil.", "tempfile.", "resource.setrlimit"),
    *("resource.prlimit", "socket.connect", "socket.bind", "socket.getaddrinfo", "socket.gethostby", "socket.sendto"),
    *("socket.sendmsg", "sqlite3.connect", "signal.pthread_kill", "syslog.", "urllib.", "webbrowser.", "fcntl."),
)


def _guard() -> Callable[[str, tuple[object, ...]], None]:
    """The audit hook: raises `PermissionError` for what the kernel would refuse."""
    readable = tuple(os.path.realpath(path) for path in (*_readable(), *_DEVICES))
    below = tuple(path + os.sep for path in readable)

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        if event.startswith(_FORBIDDEN):
            raise PermissionError(f"{event} is not allowed here")
        if event in ("open", "os.listdir", "os.scandir") and isinstance(arguments[0], str | bytes):
            path = os.path.realpath(os.fsdecode(arguments[0]))
            flags = arguments[2] if event == "open" else 0
            writes = isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR) and path != os.devnull
            if writes or not (path in readable or path.startswith(below)):
                raise PermissionError(f"{path} is out of reach here")

    return hook
