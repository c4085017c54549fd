"""The system calls that a sandboxed program may make, by the numbers of two kinds of machine.

Everything that is not here is refused with EPERM, what a later kernel adds included: sockets, processes and threads,
signals to others, ptrace, other processes' memory, mounts, namespaces, io_uring, memfd, System V IPC, changes of modes
and owners, and whatever else a program that computes has no use for.

Source of the numbers: arch/x86/entry/syscalls/syscall_64.tbl and include/uapi/asm-generic/unistd.h of Linux.
"""

from __future__ import annotations

X86_64, AARCH64 = "x86_64", "aarch64"

# name: (x86_64, aarch64); -1 where a machine has no such call.
_ALLOWED: dict[str, tuple[int, int]] = {
    "read": (0, 63),
    "write": (1, 64),
    "open": (2, -1),
    "close": (3, 57),
    "stat": (4, -1),
    "fstat": (5, 80),
    "lstat": (6, -1),
    "poll": (7, -1),
    "lseek": (8, 62),
    "mmap": (9, 222),
    "mprotect": (10, 226),
    "munmap": (11, 215),
    "brk": (12, 214),
    "rt_sigaction": (13, 134),
    "rt_sigprocmask": (14, 135),
    "rt_sigreturn": (15, 139),
    "pread64": (17, 67),
    "pwrite64": (18, 68),
    "readv": (19, 65),
    "writev": (20, 66),
    "access": (21, -1),
    "pipe": (22, -1),
    "select": (23, -1),
    "sched_yield": (24, 124),
    "mremap": (25, 216),
    "madvise": (28, 233),
    "dup": (32, 23),
    "dup2": (33, -1),
    "nanosleep": (35, 101),
    "getitimer": (36, 102),
    "alarm": (37, -1),
    "setitimer": (38, 103),
    "getpid": (39, 172),
    "exit": (60, 93),
    "uname": (63, 160),
    "fsync": (74, 82),
    "fdatasync": (75, 83),
    "ftruncate": (77, 46),
    "getdents64": (217, 61),
    "getcwd": (79, 17),
    "chdir": (80, 49),
    "fchdir": (81, 50),
    "rename": (82, -1),
    "mkdir": (83, -1),
    "rmdir": (84, -1),
    "unlink": (87, -1),
    "readlink": (89, -1),
    "umask": (95, 166),
    "gettimeofday": (96, 169),
    "getrlimit": (97, 163),
    "getrusage": (98, 165),
    "sysinfo": (99, 179),
    "times": (100, 153),
    "getuid": (102, 174),
    "getgid": (104, 176),
    "geteuid": (107, 175),
    "getegid": (108, 177),
    "getppid": (110, 173),
    "getpgrp": (111, -1),
    "getgroups": (115, 158),
    "getresuid": (118, 148),
    "getresgid": (120, 150),
    "rt_sigpending": (127, 136),
    "rt_sigtimedwait": (128, 137),
    "rt_sigsuspend": (130, 133),
    "sigaltstack": (131, 132),
    "arch_prctl": (158, -1),
    "gettid": (186, 178),
    "time": (201, -1),
    "futex": (202, 98),
    "sched_getaffinity": (204, 123),
    "set_tid_address": (218, 96),
    "restart_syscall": (219, 128),
    "clock_gettime": (228, 113),
    "clock_getres": (229, 114),
    "clock_nanosleep": (230, 115),
    "exit_group": (231, 94),
    "epoll_wait": (232, -1),
    "epoll_ctl": (233, 21),
    "openat": (257, 56),
    "mkdirat": (258, 34),
    "newfstatat": (262, 79),
    "unlinkat": (263, 35),
    "renameat": (264, 38),
    "readlinkat": (267, 78),
    "faccessat": (269, 48),
    "pselect6": (270, 72),
    "ppoll": (271, 73),
    "set_robust_list": (273, 99),
    "epoll_pwait": (281, 22),
    "eventfd2": (290, 19),
    "epoll_create1": (291, 20),
    "dup3": (292, 24),
    "pipe2": (293, 59),
    "preadv": (295, 69),
    "pwritev": (296, 70),
    "renameat2": (316, 276),
    "getrandom": (318, 278),
    "membarrier": (324, 283),
    "statx": (332, 291),
    "rseq": (334, 293),
    "close_range": (436, 436),
    "faccessat2": (439, 439),
}

# Allowed for some values of one argument: (x86_64, aarch64), which argument, the values.
_ALLOWED_IF: tuple[tuple[tuple[int, int], int, tuple[int, ...]], ...] = (
    # fcntl: F_DUPFD, F_GETFD, F_SETFD, F_GETFL, F_SETFL, locks, F_DUPFD_CLOEXEC; not F_SETOWN and F_SETSIG, which
    # send signals to other processes.
    ((72, 25), 1, (0, 1, 2, 3, 4, 5, 6, 7, 1030)),
    # ioctl: TCGETS, FIONREAD, FIONBIO, FIONCLEX, FIOCLEX.
    ((16, 29), 1, (0x5401, 0x541B, 0x5421, 0x5450, 0x5451)),
    # prlimit64: only to read, which is where the new limits are a null pointer.
    ((302, 261), 2, (0,)),
)

# A call of which both libc and Python know that a kernel may lack it: clone3.  They then try clone, which is refused.
MISSING = (435,)

_TGKILL = (234, 131)


def allowed(machine: str) -> tuple[int, ...]:
    """Return the numbers that are allowed whatever their arguments."""
    at = _column(machine)
    return tuple(numbers[at] for numbers in _ALLOWED.values() if numbers[at] >= 0)


def allowed_if(machine: str, *, own_pid: int) -> tuple[tuple[int, int, tuple[int, ...]], ...]:
    """Return (number, argument, values) of what is allowed for some values; signals reach the process alone."""
    at = _column(machine)
    found = [(numbers[at], argument, values) for numbers, argument, values in _ALLOWED_IF]
    return (*found, (_TGKILL[at], 0, (own_pid,)))


def _column(machine: str) -> int:
    return (X86_64, AARCH64).index(machine)
