"""The restrictions that a child process puts on itself before it runs code that nobody has read.

Three kinds, from the kernel outwards. Only the first two hold against code that means harm:

1. Limits (any Unix): CPU seconds, address space, open files, core files, and no byte may be written to any file.
2. Linux on x86-64 and AArch64: Landlock leaves the standard library and the shared libraries readable and nothing else;
   seccomp refuses new processes, sockets, signals, other programs, shared memory, and raising a limit again; all
   capabilities are given up. Threads stay allowed, and so is `socketpair`, which asyncio needs.
3. An audit hook, everywhere: the same as errors of Python. It is no security boundary (ctypes and the interpreter's own
   bugs go round it), and where the kernel offers nothing of the second kind it is all that guards files and network.

`stat` tells whether a file exists and how large it is: Landlock does not hide that. On AArch64 the numbers of the calls
are those of the kernel's headers and have not been run. This file imports the standard library alone: it is the program
that `code` starts (`sandbox`), with no package of the parent in reach.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import struct
import sys
from collections.abc import Callable

# Numbers of system calls. First the ones that are refused whatever their arguments.
_REFUSED = {
    "x86_64": (
        *(57, 58, 59, 322),  # fork, vfork, execve, execveat
        *(62, 200, 234, 129, 297, 109, 112),  # kill, tkill, tgkill, rt_sigqueueinfo, rt_tgsigqueueinfo, setpgid, setsid
        *(41, 101, 310, 311, 312),  # socket, ptrace, process_vm_readv, process_vm_writev, kcmp
        *(29, 64, 68, 240, 319),  # shmget, semget, msgget, mq_open, memfd_create: memory that no limit counts
        *(90, 91, 268, 92, 93, 94, 260, 188, 189, 190, 197, 198, 199, 132, 235, 261, 280),  # chmod, chown, xattr, utime
        *(160, 141, 142, 144, 314, 203, 251),  # setrlimit, setpriority, sched_set*, ioprio_set
        *(272, 308, 321, 323, 298, 248, 249, 250, 256, 279),  # unshare, setns, bpf, userfaultfd, perf, keys, move pages
    ),
    "aarch64": (
        *(221, 281),
        *(129, 130, 131, 138, 240, 154, 157),
        *(198, 117, 270, 271, 272),
        *(194, 190, 186, 180, 279),
        *(52, 53, 55, 54, 5, 6, 7, 14, 15, 16, 88),
        *(164, 140, 118, 119, 274, 122, 30),
        *(97, 268, 280, 282, 241, 217, 218, 219, 238, 239),
    ),
}
# io_uring_setup, pidfd_open, _getfd, _send_signal, process_madvise, memfd_secret, fchmodat2, setxattrat, removexattrat
_REFUSED_EVERYWHERE = (425, 434, 438, 424, 440, 447, 452, 463, 466)
_CLONE = {"x86_64": 56, "aarch64": 220}
_PRLIMIT = {"x86_64": 302, "aarch64": 261}
_AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_CLONE3, _CLONE_THREAD = 435, 0x10000

_ALLOW, _EPERM, _ENOSYS, _KILL = 0x7FFF0000, 0x00050000 | 1, 0x00050000 | 38, 0x80000000
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06

_NO_NEW_PRIVILEGES, _SECCOMP, _FILTER = 38, 22, 2
_CAPSET = {"x86_64": 126, "aarch64": 91}
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_READ_FILE, _READ_DIR, _WRITE_FILE = 1 << 2, 1 << 3, 1 << 1


def enforce(seconds: int, megabytes: int) -> list[str]:
    """Enforces every restriction that this platform offers, for good. Returns the names of those in force."""
    in_force = _limits({"CPU": seconds, "AS": megabytes << 20, "FSIZE": 0, "CORE": 0, "NOFILE": 64})
    machine = platform.machine()
    if sys.platform == "linux" and machine in _REFUSED:
        with contextlib.suppress(OSError):
            _drop_capabilities(machine)
        for name, restrict in (("landlock", _landlock), ("seccomp", _seccomp)):
            with contextlib.suppress(OSError):
                restrict(machine)
                in_force.append(name)
    if "seccomp" not in in_force:
        _limits({"NPROC": 0})  # all processes of the user count, so none can be added; root is exempt
    sys.addaudithook(_guard())
    return [*in_force, "audit"]


def _limits(limits: dict[str, int]) -> list[str]:
    """Sets resource limits. Returns the names of those that this platform has, in small letters."""
    import resource

    in_force = []
    for name, value in limits.items():
        with contextlib.suppress(OSError, ValueError, AttributeError):
            resource.setrlimit(getattr(resource, f"RLIMIT_{name}"), (value, value))
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


def _drop_capabilities(machine: str) -> None:
    _call(_CAPSET[machine], struct.pack("=Ii", 0x20080522, 0), bytes(24))


def _landlock(machine: str) -> None:
    """Files: read what imports need. TCP, abstract sockets, signals: as far as this kernel knows them."""
    version = _call(_CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint32(1))
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


_DEVICES = {"/dev/null": _READ_FILE | _WRITE_FILE, "/dev/urandom": _READ_FILE, "/etc/localtime": _READ_FILE}


def _readable() -> tuple[str, ...]:
    """The folders of the standard library and of shared libraries, and the empty one in which we are."""
    shared = ("/usr/lib", "/usr/lib64", "/lib", "/lib64", "/usr/share/zoneinfo")
    return (os.path.join(sys.base_prefix, "lib"), *sys.path, *shared, os.getcwd())


def _seccomp(machine: str) -> None:
    """A filter of system calls. A refusal is an error (EPERM) of that call; another calling convention is the end."""
    refused = (*_REFUSED[machine], *_REFUSED_EVERYWHERE)
    lines = [
        (_LOAD, 0, 0, 4),  # the calling convention
        (_EQUAL, 1, 0, _AUDIT_ARCH[machine]),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, 0),  # the number of the call
        *(((_AT_LEAST, 0, 1, 0x40000000), (_RETURN, 0, 0, _KILL)) if machine == "x86_64" else ()),
        *(line for number in refused for line in ((_EQUAL, 0, 1, number), (_RETURN, 0, 0, _EPERM))),
        *((_EQUAL, 0, 1, _CLONE3), (_RETURN, 0, 0, _ENOSYS)),  # its flags lie in memory: libc falls back to clone
        *((_EQUAL, 0, 4, _CLONE[machine]), (_LOAD, 0, 0, 16), (_ANY_BIT, 1, 0, _CLONE_THREAD)),
        *((_RETURN, 0, 0, _EPERM), (_RETURN, 0, 0, _ALLOW)),
        *((_EQUAL, 0, 5, _PRLIMIT[machine]), (_LOAD, 0, 0, 32), (_EQUAL, 0, 2, 0)),  # a limit may be read: no new one
        *((_LOAD, 0, 0, 36), (_EQUAL, 1, 0, 0), (_RETURN, 0, 0, _EPERM)),
        (_RETURN, 0, 0, _ALLOW),
    ]
    program = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *line) for line in lines))
    _prctl(_NO_NEW_PRIVILEGES, 1, 0)
    _prctl(_SECCOMP, _FILTER, struct.pack("@HP", len(lines), ctypes.addressof(program)))


_FORBIDDEN = (
    *("os.fork", "os.posix_spawn", "os.exec", "os.spawn", "os.system", "os.startfile", "subprocess.", "pty."),
    *("os.kill", "os.remove", "os.rename", "os.rmdir", "os.mkdir", "os.link", "os.symlink", "os.truncate", "os.chmod"),
    *("os.chown", "os.utime", "os.setxattr", "os.removexattr", "shutil.", "tempfile.", "resource.setrlimit"),
    *("resource.prlimit", "socket.connect", "socket.bind", "socket.getaddrinfo", "socket.gethostby", "socket.sendto"),
    *("sqlite3.connect", "signal.pthread_kill", "syslog.", "urllib.", "webbrowser."),
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
