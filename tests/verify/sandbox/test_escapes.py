"""Nothing leaves a restricted process: every system call that is not listed, and every use of a listed one that is not.

All of it is done past Python's own hooks, by the C library, and on kernels of different ages: a lower version of
Landlock's interface is what an older kernel offers.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import re
import signal
import socket
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from reasonenv.core import Reason
from reasonenv.verify.sandbox.backend import Job
from reasonenv.verify.sandbox.processes import REQUIRED, ProcessSandbox
from reasonenv.verify.sandbox.system_calls import CALLS, CLONE3

pytestmark = pytest.mark.skipif(
    sys.platform != "linux"
    or platform.machine() != "x86_64"
    or not set(REQUIRED) <= set(ProcessSandbox(unfenced=True).restrictions()),
    reason="the numbers of x86-64, and a kernel that restricts",
)
HEADERS = {
    "x86_64": Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h"),
    "aarch64": Path("/usr/include/asm-generic/unistd.h"),
}
LANDLOCK = (None, 1, 2, 4)  # versions of its interface; None: this kernel's
EPERM, ENOSYS = 1, 38
LIBC = "import ctypes, os\nlibc = ctypes.CDLL(None, use_errno=True)\n"


def run(code: str, landlock: int | None = None, stdin: str = "") -> str:
    """What a program prints."""
    job = Job(code, stdin, seconds=4, megabytes=512, timeout=60.0)
    reply = ProcessSandbox(landlock=landlock).run(job)
    assert reply.reason is Reason.CORRECT, (reply, code)
    return reply.output.decode().strip()


@pytest.mark.parametrize("machine", HEADERS)
def test_the_numbers_of_the_calls_are_those_of_the_kernel(machine: str) -> None:
    header = HEADERS[machine]
    if not header.is_file():
        pytest.skip(f"no {header}")
    numbers = dict(re.findall(r"#define __NR(?:3264)?_(\w+)\s+(\d+)", header.read_text()))
    numbers.setdefault("newfstatat", numbers.get("fstatat", ""))
    for name, call in CALLS.items():
        number = getattr(call, machine)
        assert str(number) == numbers.get(name, "None"), name
    assert numbers["clone3"] == str(CLONE3.x86_64) == str(CLONE3.aarch64)


def test_every_call_that_is_not_listed_is_refused() -> None:
    listed = {call.x86_64 for call in CALLS.values()}
    # uretprobe and uprobe are no calls of a program: the kernel keeps them from every filter, and ends who makes them
    numbers = [number for number in range(1100) if number not in {*listed, CLONE3.x86_64, 335, 336}]
    x32 = [0x40000000 + number for number in (0, 1, 2, 57, 59, 520)]  # another way to say the same calls
    code = f"""{LIBC}
for number in {numbers + x32}:
    if libc.syscall(ctypes.c_long(number), 0, 0, 0, 0, 0, 0) != -1 or ctypes.get_errno() != {EPERM}:
        print(number, ctypes.get_errno())
print(libc.syscall(435, 0, 0), ctypes.get_errno())
"""
    assert run(code) == f"-1 {ENOSYS}"  # clone3 alone is "unknown", so that the C library falls back to clone


# Uses of listed calls that are refused before the kernel looks at anything else: the error is EPERM.
ARGUMENTS = {
    "socketpair of datagrams": "53, 1, 2, 0, out",
    "socketpair of packets": "53, 1, 5, 0, out",
    "socketpair of packets that do not block": "53, 1, 5 | 0x800, 0, out",
    "socketpair of raw type": "53, 1, 3, 0, out",
    "socketpair of another family": "53, 2, 1, 0, out",
    "socketpair of another protocol": "53, 1, 1, 1, out",
    "sendto with an address": "44, 1, b'x', 1, 0, b'address', 7",
    "clone of a process": "56, 17, 0, 0, 0, 0",
    "clone of a process like vfork": "56, 0x4111, 0, 0, 0, 0",
    "clone with namespaces": "56, 0x10000000 | 17, 0, 0, 0, 0",
    "clone of a thread with another flag": "56, 0x3d0f00 | 0x8000, 0, 0, 0, 0",
    "clone of a thread, and more in the upper half": "56, ctypes.c_long(0x3d0f00 | 1 << 33), 0, 0, 0, 0",
    "F_SETOWN": "72, 0, 8, os.getppid()",
    "F_SETOWN_EX": "72, 0, 15, out",
    "F_SETSIG": "72, 0, 10, 9",
    "F_SETLEASE": "72, 0, 1024, 1",
    "F_NOTIFY": "72, 0, 1026, 1",
    "F_SETPIPE_SZ": "72, 1, 1031, 1 << 20",
    "F_ADD_SEALS": "72, 0, 1033, 1",
    "F_SETLK": "72, 0, 6, out",
    "F_SETLKW": "72, 0, 7, out",
    "F_OFD_SETLK": "72, 0, 37, out",
    "F_SET_RW_HINT": "72, 0, 1036, out",
    "F_SETFL with O_ASYNC": "72, 0, 4, 0x2000",
    "FIOSETOWN": "16, 0, 0x8901, out",
    "SIOCSPGRP": "16, 0, 0x8902, out",
    "FIOASYNC": "16, 0, 0x5452, out",
    "TIOCSTI": "16, 0, 0x5412, b'x'",
    "TCGETS": "16, 0, 0x5401, out",
    "FIONREAD": "16, 0, 0x541B, out",
    "open for reading, truncated": "257, -100, b'/usr/lib/os-release', 0x200, 0",
    "open for reading, made": "257, -100, b'here', 0x40, 0o600",
    "the older open, truncated": "2, b'/usr/lib/os-release', 0x200, 0",
    "the older open, for neither": "2, b'/usr/lib/os-release', 0x203, 0",
    "open for neither": "257, -100, b'/usr/lib/os-release', 0x3, 0",
    "open for neither, truncated": "257, -100, b'/usr/lib/os-release', 0x203, 0",
    "O_PATH": "257, -100, b'/etc', 0x200000, 0",
    "O_TMPFILE": "257, -100, b'/tmp', 0x410000 | 2, 0o600",
    "O_ASYNC": "257, -100, b'/dev/null', 0x2000, 0",
    "executable and writable memory": "9, 0, 4096, 7, 0x22, -1, 0",
    "huge pages": "9, 0, 1 << 21, 3, 0x40022, -1, 0",
    "locked memory": "9, 0, 4096, 3, 0x2022, -1, 0",
    "memory that grows down": "9, 0, 4096, 3, 0x122, -1, 0",
    "memory made executable": "10, 0, 4096, 5",
    "MADV_HWPOISON": "28, 0, 4096, 100",
    "MADV_MERGEABLE": "28, 0, 4096, 12",
    "PR_SET_PDEATHSIG": "157, 1, 0, 0, 0, 0",
    "PR_SET_DUMPABLE": "157, 4, 1, 0, 0, 0",
    "PR_SET_SECCOMP": "157, 22, 1, 0, 0, 0",
    "PR_SET_MM": "157, 35, 1, 0, 0, 0",
    "PR_SET_PTRACER": "157, 0x59616d61, -1, 0, 0, 0",
    "a limit of its own": "302, 0, 9, out, 0",
    "limits of another": "302, os.getppid(), 9, 0, out",
    "pipe of packets": "293, out, 0x4000",
}


def test_every_use_of_a_listed_call_that_is_not_listed_is_refused() -> None:
    code = f"{LIBC}out = (ctypes.c_long * 64)()\n"
    for name, call in ARGUMENTS.items():
        code += f"if libc.syscall({call}) != -1 or ctypes.get_errno() != {EPERM}: print({name!r}, ctypes.get_errno())\n"
    assert run(code) == ""


@dataclass(frozen=True)
class Outside:
    """What a program could reach if something let it out."""

    folder: Path
    file: Path
    path_socket: socket.socket
    abstract_socket: socket.socket
    segment: int  # of System V, with `SECRET` in it

    def untouched(self) -> bool:
        for server in (self.path_socket, self.abstract_socket):
            with contextlib.suppress(BlockingIOError):
                server.recv(100)
                return False
        names = sorted(path.name for path in self.folder.iterdir())
        return names == ["file", "socket"] and self.file.read_text() == SECRET and self.memory() == SECRET.encode()

    def memory(self) -> bytes:
        libc = ctypes.CDLL(None, use_errno=True)
        libc.shmat.restype = ctypes.c_void_p
        address = libc.shmat(self.segment, None, 0o10000)  # SHM_RDONLY
        assert address not in (None, 2**64 - 1), "somebody has removed it"
        content = ctypes.string_at(address, len(SECRET))
        libc.shmdt(ctypes.c_void_p(address))
        return content


SECRET = "SECRET of the parent"


@pytest.fixture
def outside(tmp_path: Path) -> Iterator[Outside]:
    file = tmp_path / "file"
    file.write_text(SECRET)
    libc = ctypes.CDLL(None, use_errno=True)
    segment = libc.shmget(0, 4096, 0o1666)
    libc.shmat.restype = ctypes.c_void_p
    address = ctypes.c_void_p(libc.shmat(segment, None, 0))
    ctypes.memmove(address, SECRET.encode(), len(SECRET))
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as by_path,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as abstract,
    ):
        by_path.bind(str(tmp_path / "socket"))
        abstract.bind(f"\0reasonenv-{os.getpid()}")
        for server in (by_path, abstract):
            server.setblocking(False)
        yield Outside(tmp_path, file, by_path, abstract, segment)
    libc.shmdt(address)
    libc.shmctl(segment, 0, None)  # IPC_RMID


# Whole attempts, in Python where that suffices. They print what they have got.
ATTEMPTS = {
    "message to a path socket": "a, b = socket.socketpair(type=socket.SOCK_DGRAM)\na.sendmsg([b'x'], [], 0, PATH)",
    "stream pair, message to a path": "a, b = socket.socketpair()\na.sendmsg([b'x'], [], 0, PATH)",
    "stream pair, sendto a path": "a, b = socket.socketpair()\na.sendto(b'x', PATH)",
    "connect and write": "a, b = socket.socketpair()\na.connect(PATH)\na.send(b'x')",
    "message to an abstract socket": "a, b = socket.socketpair(type=socket.SOCK_DGRAM)\na.sendto(b'x', ABSTRACT)",
    "stream pair, abstract": "a, b = socket.socketpair()\na.sendto(b'x', ABSTRACT)",
    "a socket": "s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)\ns.sendto(b'x', PATH)",
    "TCP": "socket.create_connection(('127.0.0.1', 9))",
    "UDP": "socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', 9))",
    "netlink": "socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)",
    "descriptors by messages": "a, b = socket.socketpair()\nsocket.send_fds(a, [b'x'], [1])",
    "System V memory": "libc.shmat.restype = ctypes.c_void_p\np = libc.shmat(SEGMENT, None, 0)\n"
    "if p != 2**64 - 1:\n    print(ctypes.string_at(p, 6))\n    ctypes.memset(p, 65, 6)",
    "System V memory removed": "libc.shmctl(SEGMENT, 0, None)",
    "System V semaphores": "print(*[i for i in range(64) if libc.semctl(i, 0, 16, 7) == 0])",
    "System V messages": "print(*[i for i in range(64) if libc.msgsnd(i, b'x' * 16, 8, 0o4000) == 0])",
    "System V segment of its own": "if libc.shmget(0, 1 << 20, 0o1600) >= 0: print('made')",
    "shared memory": "from multiprocessing import shared_memory as s\nprint(s.SharedMemory(create=True, size=1 << 20))",
    "memory file": "print(os.memfd_create('x'))",
    "signal to the parent": "os.kill(os.getppid(), signal.SIGKILL)",
    "signal by the C library": "libc.kill(os.getppid(), 9)\n"
    "libc.syscall(234, os.getppid(), os.getppid(), 9)\nlibc.syscall(200, os.getppid(), 9)",
    "signal by a descriptor": "signal.pidfd_send_signal(os.pidfd_open(os.getppid()), signal.SIGKILL)",
    "signal by the owner of a socket": "a, b = socket.socketpair()\n"
    "for command, value in ((8, os.getppid()), (10, 9), (4, 0x2802)):\n    libc.fcntl(a.fileno(), command, value)\n"
    "b.send(b'x' * 100)",
    "signal by the owner of a pipe": "r, w = os.pipe()\nlibc.fcntl(r, 8, os.getppid())\n"
    "libc.fcntl(r, 10, 9)\nlibc.fcntl(r, 4, 0x2000)\nos.write(w, b'x')",
    "reading the file": "print(open(FILE).read())",
    "reading by the C library": "f = libc.open(FILE.encode(), 0)\nif f >= 0: print(os.read(f, 6))",
    "reading by openat2": "f = libc.syscall(437, -100, FILE.encode(), bytes(24), 24)\nif f >= 0: print(os.read(f, 6))",
    "reading the parent": "print(open(f'/proc/{os.getppid()}/environ').read())",
    "reading the parent's files": "print(os.listdir(f'/proc/{os.getppid()}/fd'))",
    "reading the parent's links": "print(os.readlink(f'/proc/{os.getppid()}/exe'))",
    "reading the parent's memory": "b = ctypes.create_string_buffer(8)\n"
    "v = (ctypes.c_size_t * 2)(ctypes.addressof(b), 8)\n"
    "if libc.process_vm_readv(os.getppid(), v, 1, v, 1, 0) > 0: print('read')",
    "writing": "open(FILE, 'w').write('x')",
    "appending": "open(FILE, 'a').write('x')",
    "truncating": "os.truncate(FILE, 0)",
    "truncating by the C library": "libc.truncate(FILE.encode(), 0)",
    "truncating when opened": "libc.open(FILE.encode(), 0x200)",
    "truncating when opened for neither": "libc.open(FILE.encode(), 0x203)",
    "truncating Python's library": "libc.open(wave_file().encode(), 0x200)\nassert os.stat(wave_file()).st_size > 0",
    "a lease": "f = open(wave_file())\nif libc.fcntl(f.fileno(), 1024, 1) == 0: print('leased')",
    "a lock": "import fcntl\nfcntl.flock(open(wave_file()), fcntl.LOCK_EX)\nprint('locked')",
    "taking space of the disk": "for fd in (0, 1):\n    if libc.fallocate(fd, 1, 0, 300 << 20) == 0: print('taken')",
    "writing to its input": "print(os.write(0, b'x'))",
    "enlarging its input": "os.ftruncate(0, 1 << 20)\nprint('enlarged')",
    "another name": "os.link(FILE, 'here')\nprint('linked')",
    "a link": "os.symlink(FILE, 'here')\nprint('linked')",
    "a fifo": "os.mkfifo('here')\nprint('made')",
    "a new name": "os.rename(FILE, FILE + '2')",
    "removing": "os.remove(FILE)",
    "other rights": "os.chmod(FILE, 0o777)",
    "another owner": "os.chown(FILE, 1, 1)",
    "another time": "os.utime(FILE, (0, 0))\nprint('set')",
    "an attribute": "os.setxattr(FILE, 'user.x', b'x')\nprint('set')",
    "another folder": "os.chdir(os.path.dirname(FILE))\nprint('changed')",
    "another root": "os.chroot('/')\nprint('changed')",
    "watching files": "if libc.inotify_init() >= 0: print('watched')",
    "fork": "pid = libc.fork()\nif pid == 0: os._exit(0)\nif pid > 0: print('forked')" ,
    "fork by clone": "pid = libc.syscall(56, 17, 0, 0, 0, 0)\nif pid == 0: os._exit(0)\nif pid > 0: print('forked')",
    "another program": "libc.execv(b'/bin/true', (ctypes.c_char_p * 2)(b'true', None))",
    "another program from memory": "libc.syscall(322, 0, b'', 0, 0, 0x1000)",
    "a subprocess": "import subprocess\nsubprocess.run(['true'])\nprint('ran')",
    "a thread's name only": "libc.prctl(1, 9)\nlibc.prctl(4, 1)",
    "tracing": "if libc.ptrace(16, os.getppid(), 0, 0) == 0: print('traced')",
    "more memory": "import resource\nresource.setrlimit(resource.RLIMIT_AS, (-1, -1))\nprint('raised')",
    "less for the parent": "if libc.prlimit(os.getppid(), 0, (ctypes.c_long * 2)(1, 1), None) == 0: print('set')",
    "priority": "if libc.setpriority(0, os.getppid(), 19) == 0: print('set')",
    "affinity": "os.sched_setaffinity(0, {0})\nprint('set')",
    "namespaces": "if libc.unshare(0x10000000) == 0: print('unshared')",
    "another user": "os.setuid(1)\nprint('changed')",
    "rings": "if libc.syscall(425, 8, bytes(120)) >= 0: print('made')",
    "keys": "if libc.syscall(248, b'user', b'x', b'x', 1, -2) >= 0: print('added')",
    "events of the processor": "if libc.syscall(298, bytes(128), 0, -1, -1, 0) >= 0: print('opened')",
    "the log of the kernel": "b = ctypes.create_string_buffer(99)\nif libc.klogctl(3, b, 99) > 0: print(b.value)",
    "syncing": "if libc.syncfs(0) == 0: print('synced')",
    "a large pipe": "r, w = os.pipe()\nif libc.fcntl(w, 1031, 1 << 20) > 0: print('enlarged')",
    "a message queue": "if libc.syscall(240, b'x', 0o102, 0o600, None) >= 0: print('made')",
    "removing a message queue": "libc.syscall(241, b'x')",
}  # fmt: skip
HEAD = """{libc}import signal, socket
PATH, ABSTRACT, FILE, SEGMENT = {path!r}, {abstract!r}, {file!r}, {segment}
def wave_file():
    import wave
    return wave.__file__
try:
{body}
except (OSError, RuntimeError, AttributeError): pass
"""


@pytest.mark.parametrize("landlock", LANDLOCK)
def test_no_attempt_reaches_anything_outside(landlock: int | None, outside: Outside) -> None:
    got_out, signals = {}, []
    for caught in (signal.SIGIO, signal.SIGTERM, signal.SIGUSR1):
        signal.signal(caught, lambda number, _: signals.append(number))
    try:
        for name, attempt in ATTEMPTS.items():
            body = "\n".join(f"    {line}" for line in attempt.split("\n"))
            code = HEAD.format(
                libc=LIBC,
                path=str(outside.folder / "socket"),
                abstract=outside.abstract_socket.getsockname(),
                file=str(outside.file),
                segment=outside.segment,
                body=body,
            )
            printed = run(code, landlock)
            if printed or not outside.untouched():
                got_out[name] = printed
    finally:
        for caught in (signal.SIGIO, signal.SIGTERM, signal.SIGUSR1):
            signal.signal(caught, signal.SIG_DFL)
    assert got_out == {}
    assert signals == []


def test_what_python_needs_is_allowed() -> None:
    code = """
import asyncio, concurrent.futures, ctypes, json, locale, lzma, mmap, os, random, secrets, signal, socket, sqlite3
import sys, tempfile, threading, time, uuid, zoneinfo
async def main():
    await asyncio.sleep(0.001)
    return await asyncio.to_thread(lambda: 7)
assert asyncio.run(main()) == 7
with concurrent.futures.ThreadPoolExecutor(4) as pool:
    assert list(pool.map(abs, [-1, -2])) == [1, 2]
assert ctypes.CDLL(None).abs(-3) == 3
memory = mmap.mmap(-1, 1 << 16)
memory[:3] = b"abc"
big = [bytearray(1 << 20) for _ in range(50)]
del big
rung = []
signal.signal(signal.SIGALRM, lambda *_: rung.append(1))
signal.setitimer(signal.ITIMER_REAL, 0.001)
time.sleep(0.01)
assert rung
with open(os.devnull, "w") as nothing:
    print("noise", file=nothing)
a, b = socket.socketpair()
a.sendall(b"x")
assert b.recv(1) == b"x"
r, w = os.pipe()
os.write(w, b"y")
assert os.read(r, 1) == b"y"
copy = os.dup(r)
os.close(copy)
assert os.listdir(".") == [] and os.getcwd() and os.stat(sys.executable) and os.cpu_count() and os.getpid()
assert uuid.uuid4() and secrets.token_hex(4) and random.SystemRandom().random() < 1 and time.localtime()
assert sys.stdin.read() == "input"
print("all of it")
"""
    assert run(code, stdin="input") == "all of it"
