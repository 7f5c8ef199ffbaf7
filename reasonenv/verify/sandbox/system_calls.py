"""The system calls that a restricted process may make, and with which arguments. All others are refused.

The calls are those that CPython and the C library need to run a program that computes: reading files that are open or
may be opened, memory, threads, clocks, timers, its own signal handlers, waiting, pipes, and the pair of sockets by
which asyncio wakes itself. So what nobody has thought of is refused: new processes and programs, signals to others,
sockets with addresses, shared memory and queues (System V, POSIX), writing to any file, and the state of the machine.

A call has its number on x86-64 and on AArch64, None where the machine does not have it. Those of AArch64 are the
kernel's generic table and have been compared with its headers, not run.
"""

from __future__ import annotations

_ALL = (1 << 64) - 1  # bits
ArgumentTest = tuple[int, int, tuple[int, ...]]  # an argument (0..5), a mask, and what the bits in the mask may be


class Call:
    """A system call by its numbers. With `allowed`, one of these lists of tests of its arguments must hold whole."""

    def __init__(self, x86_64: int | None, aarch64: int | None, *allowed: tuple[ArgumentTest, ...]) -> None:
        self.x86_64, self.aarch64, self.allowed = x86_64, aarch64, allowed


def _is(argument: int, *values: int) -> ArgumentTest:
    return argument, _ALL, values


def _only(argument: int, *bits: int) -> ArgumentTest:
    """No bit of the argument beside these is set."""
    return argument, _ALL & ~sum(bits), (0,)


# Flags of open. O_DIRECTORY, O_NOFOLLOW and O_LARGEFILE have two values, one on each machine, and both sets are open:
# on the other machine they are each other or O_DIRECT, which changes nothing on what may be opened here.
_OPEN_READ = (0x100, 0x800, 0x80000, 0x10000, 0x4000, 0x20000, 0x8000)  # also O_NOCTTY, O_NONBLOCK, O_CLOEXEC
_OPEN_WRITE = (*_OPEN_READ, 0x3, 0x40, 0x200, 0x400)  # also O_CREAT, O_TRUNC, O_APPEND; Landlock knows the files
_THREAD = 0x3D0F00  # flags of clone with which the C library starts a thread; musl adds CLONE_DETACHED
_DETACHED = 0x400000
_WRITE_AND_EXECUTE = 0x6  # of the protection of memory
_MAPPED = (0x1, 0x2, 0x10, 0x20, 0x800, 0x4000, 0x20000, 0x100000)  # shared, private, fixed, anonymous, hints

CALLS = {
    "read": Call(0, 63),
    "write": Call(1, 64),
    "close": Call(3, 57),
    "fstat": Call(5, 80),
    "newfstatat": Call(262, 79),
    "lseek": Call(8, 62),
    # Opened for reading only, a file cannot be truncated or made; for writing, Landlock allows /dev/null alone.
    "openat": Call(257, 56, (_only(2, *_OPEN_READ),), (_only(2, *_OPEN_WRITE), (2, 0x3, (1, 2)))),
    "open": Call(2, None, (_only(1, *_OPEN_READ),), (_only(1, *_OPEN_WRITE), (1, 0x3, (1, 2)))),  # by musl
    "mmap": Call(9, 222, ((2, _WRITE_AND_EXECUTE, (0, 2, 4)), _only(3, *_MAPPED))),
    # Never made executable, but for the branch protection of a library that is loaded on AArch64 (PROT_BTI).
    "mprotect": Call(10, 226, (_only(2, 0x1, 0x2),), (_is(2, 0x15),)),
    "munmap": Call(11, 215),
    "brk": Call(12, 214),
    "mremap": Call(25, 216),
    "madvise": Call(28, 233, (_is(2, 3, 4, 8, 14),)),  # will need, do not need, free, huge pages
    "futex": Call(202, 98),
    "rt_sigaction": Call(13, 134),
    "rt_sigprocmask": Call(14, 135),
    "rt_sigreturn": Call(15, 139),
    "sigaltstack": Call(131, 132),
    "restart_syscall": Call(219, 128),
    "readv": Call(19, 65),
    "writev": Call(20, 66),
    "pread64": Call(17, 67),
    "stat": Call(4, None),
    "lstat": Call(6, None),
    "statx": Call(332, 291),
    "readlink": Call(89, None),
    "readlinkat": Call(267, 78),
    "getdents64": Call(217, 61),
    "getcwd": Call(79, 17),
    # Duplicates and flags of descriptors; no locks, leases, owners, signals, seals or sizes of pipes.
    "fcntl": Call(  # the second is F_SETFL, without O_ASYNC
        72, 25, (_is(1, 0, 1, 2, 3, 1030),), (_is(1, 4), _only(2, 0x1, 0x2, 0x400, 0x800, 0x8000, 0x20000))
    ),
    "dup": Call(32, 23),
    "dup2": Call(33, None),
    "dup3": Call(292, 24),
    "pipe": Call(22, None),
    "pipe2": Call(293, 59, (_only(1, 0x800, 0x80000),)),
    "ioctl": Call(16, 29, (_is(1, 0x5421),)),  # FIONBIO: blocking or not
    "poll": Call(7, None),
    "ppoll": Call(271, 73),
    "select": Call(23, None),
    "pselect6": Call(270, 72),
    "epoll_create1": Call(291, 20),
    "epoll_ctl": Call(233, 21),
    "epoll_wait": Call(232, None),
    "epoll_pwait": Call(281, 22),
    # A pair that is connected for good: local streams, which have no address and take none when they send.
    "socketpair": Call(53, 199, (_is(0, 1), (1, _ALL & ~0x80800, (1,)), _is(2, 0))),
    "sendto": Call(44, 206, (_is(4, 0),)),
    "recvfrom": Call(45, 207),
    "shutdown": Call(48, 210),
    "getsockname": Call(51, 204),
    "clone": Call(56, 220, (_is(0, _THREAD, _THREAD | _DETACHED),)),
    "set_robust_list": Call(273, 99),
    "rseq": Call(334, 293),
    "exit": Call(60, 93),
    "exit_group": Call(231, 94),
    "sched_yield": Call(24, 124),
    "sched_getaffinity": Call(204, 123),
    "nanosleep": Call(35, 101),
    "clock_nanosleep": Call(230, 115),
    "clock_gettime": Call(228, 113),
    "clock_getres": Call(229, 114),
    "gettimeofday": Call(96, 169),
    "time": Call(201, None),
    "times": Call(100, 153),
    "alarm": Call(37, None),
    "pause": Call(34, None),
    "getitimer": Call(36, 102),
    "setitimer": Call(38, 103),
    "getpid": Call(39, 172),
    "gettid": Call(186, 178),
    "getppid": Call(110, 173),
    "getuid": Call(102, 174),
    "geteuid": Call(107, 175),
    "getgid": Call(104, 176),
    "getegid": Call(108, 177),
    "getrusage": Call(98, 165),
    "getrandom": Call(318, 278),
    "uname": Call(63, 160),
    "sysinfo": Call(99, 179),
    "prlimit64": Call(302, 261, (_is(0, 0), _is(2, 0))),  # its own limits are read, none is set
    "prctl": Call(157, 167, (_is(0, 15, 16),)),  # the name of a thread
}
CLONE3 = Call(435, 435)  # its flags lie in memory: refused as unknown, so that the C library falls back to clone
