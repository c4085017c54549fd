"""Confining the calling process for good: Landlock, seccomp, limits, and no capabilities.

Only ctypes and the kernel: no root, no container, no helper program.  Nothing here can be undone by the process itself,
and each step fails loudly: a process that could not be confined must not go on.

Sources: landlock(7), seccomp(2), prctl(2), and the kernel's Documentation/userspace-api/landlock.rst.
"""

from __future__ import annotations

import ctypes
import os
import platform
import resource
import struct
import sys

from runtime.sandbox.syscalls import AARCH64, MISSING, X86_64, allowed, allowed_if

_LIBC = ctypes.CDLL(None, use_errno=True)

_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_SECCOMP, _PR_CAPBSET_DROP, _PR_SET_NO_NEW_PRIVS = 1, 4, 22, 24, 38
_SIGKILL = 9
_CLONE_NEWNS, _CLONE_NEWUSER = 0x00020000, 0x10000000
_MS_NOSUID, _MS_NODEV, _MS_NOEXEC, _MS_REC, _MS_PRIVATE = 2, 4, 8, 0x4000, 0x40000
_LANDLOCK_CREATE, _LANDLOCK_ADD, _LANDLOCK_RESTRICT = 444, 445, 446
_SET_CAPABILITIES = {X86_64: 126, AARCH64: 91}
_AUDIT_ARCH = {X86_64: 0xC000003E, AARCH64: 0xC00000B7}

# Rights of Landlock: how many each version of it knows, and those that are granted.
_NUM_RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15}
_READ_FILE, _READ_DIR = 1 << 2, 1 << 3
_WRITE_FILE, _TRUNCATE = 1 << 1, 1 << 14
_CHANGE_FOLDER = 1 << 4 | 1 << 5 | 1 << 7 | 1 << 8  # remove a folder, a file; make a folder, a file
_NET_RIGHTS, _SCOPES = 3, 3

_ALLOW, _KILL, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
_EPERM, _ENOSYS = 1, 38
_LOAD, _EQUAL, _AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06
_X32_BIT = 0x40000000


def landlock_version() -> int:
    """Return the version of Landlock that the kernel offers, 0 for none."""
    found = _LIBC.syscall(_LANDLOCK_CREATE, None, ctypes.c_size_t(0), ctypes.c_uint32(1))
    return max(0, found)


def die_with(parent: int) -> None:
    """End this process when its parent ends.  Raises: OSError if the parent has ended already."""
    _prctl(_PR_SET_PDEATHSIG, _SIGKILL)
    if os.getppid() != parent:
        raise OSError("the parent has ended")


def mount_scratch(folder: str, size_mib: int) -> None:
    """Put an empty folder in memory over `folder`, of a bounded size, which this process alone sees.

    Raises: OSError where the kernel lets nobody but root mount, or this root neither.
    """
    own = _CLONE_NEWNS if os.geteuid() == 0 else _CLONE_NEWNS | _CLONE_NEWUSER
    user, group = os.geteuid(), os.getegid()
    if _LIBC.unshare(own) != 0:
        raise OSError(ctypes.get_errno(), "a mount namespace of its own")
    if own & _CLONE_NEWUSER:
        for name, text in (("setgroups", "deny"), ("uid_map", f"{user} {user} 1"), ("gid_map", f"{group} {group} 1")):
            with open(f"/proc/self/{name}", "w", encoding="ascii") as file:
                file.write(text)
    _mount(b"none", b"/", None, _MS_REC | _MS_PRIVATE, None)
    options = f"size={size_mib}m,nr_inodes={16 * size_mib + 64},mode=700".encode()
    _mount(b"tmpfs", os.fsencode(folder), b"tmpfs", _MS_NOSUID | _MS_NODEV | _MS_NOEXEC, options)


def limit(*, cpu_s: int, memory_bytes: int, file_bytes: int, num_files: int) -> None:
    """Set limits that the process cannot raise again."""
    for what, most in (
        (resource.RLIMIT_CPU, cpu_s),
        (resource.RLIMIT_AS, memory_bytes),
        (resource.RLIMIT_FSIZE, file_bytes),
        (resource.RLIMIT_NOFILE, num_files),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NPROC, 0),
        (resource.RLIMIT_MEMLOCK, 0),
        (resource.RLIMIT_MSGQUEUE, 0),
    ):
        resource.setrlimit(what, (most, most))


def give_up_privileges() -> None:
    """Drop every capability and never gain one again."""
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    _prctl(_PR_SET_DUMPABLE, 0)
    for capability in range(64):
        if _LIBC.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0) != 0:
            break  # the first number that the kernel does not know, or a process that has none to drop
    header = struct.pack("=Ii", 0x20080522, 0)
    if _LIBC.syscall(_SET_CAPABILITIES[_machine()], header, struct.pack("=6I", *[0] * 6)) != 0:
        raise OSError(ctypes.get_errno(), "capset")


def allow_paths(*, read: tuple[str, ...], write: tuple[str, ...]) -> None:
    """Let the process open only what lies below these paths; those that do not exist are passed over.

    Nothing may be executed, and below `write` only plain files and folders may be made.
    """
    version = landlock_version()
    if version < 1:
        raise OSError("the kernel has no Landlock")
    handled = (1 << _NUM_RIGHTS.get(version, 16)) - 1
    net = _NET_RIGHTS if version >= 4 else 0
    scoped = _SCOPES if version >= 6 else 0
    attributes = struct.pack("=QQQ", handled, net, scoped)
    size = 24 if version >= 6 else 16 if version >= 4 else 8
    ruleset = _syscall(_LANDLOCK_CREATE, attributes, ctypes.c_size_t(size), ctypes.c_uint32(0))
    may_write = _WRITE_FILE | _CHANGE_FOLDER | (_TRUNCATE if version >= 3 else 0)
    for paths, rights in ((read, _READ_FILE | _READ_DIR), (write, _READ_FILE | _READ_DIR | may_write)):
        for path in paths:
            if os.path.exists(path):
                _allow_path(ruleset, path, rights & handled)
    _syscall(_LANDLOCK_RESTRICT, ruleset, ctypes.c_uint32(0))
    os.close(ruleset)


def allow_syscalls() -> None:
    """Refuse all system calls but those of syscalls.py, from now on."""
    machine = _machine()
    code = _program(machine, own_pid=os.getpid())
    filters = (ctypes.c_ubyte * len(code)).from_buffer_copy(code)
    program = struct.pack("=HxxxxxxQ", len(code) // 8, ctypes.addressof(filters))
    _prctl(_PR_SET_SECCOMP, 2, ctypes.c_char_p(program))


def _program(machine: str, *, own_pid: int) -> bytes:
    """The filter, in the order: the machine, plain numbers, numbers with a condition, refusal."""
    out = [_step(_LOAD, 4), _step(_EQUAL, _AUDIT_ARCH[machine], 1, 0), _step(_RETURN, _KILL), _step(_LOAD, 0)]
    if machine == X86_64:
        out += [_step(_AT_LEAST, _X32_BIT, 0, 1), _step(_RETURN, _KILL)]
    for number in allowed(machine):
        out += [_step(_EQUAL, number, 0, 1), _step(_RETURN, _ALLOW)]
    for number in MISSING:
        out += [_step(_EQUAL, number, 0, 1), _step(_RETURN, _ERRNO | _ENOSYS)]
    for number, argument, values in allowed_if(machine, own_pid=own_pid):
        at = 16 + 8 * argument
        inside = [_step(_LOAD, at + 4), _step(_EQUAL, 0, 1, 0), _step(_RETURN, _ERRNO | _EPERM), _step(_LOAD, at)]
        for value in values:
            inside += [_step(_EQUAL, value, 0, 1), _step(_RETURN, _ALLOW)]
        inside.append(_step(_RETURN, _ERRNO | _EPERM))
        out += [_step(_EQUAL, number, 0, len(inside)), *inside]
    return b"".join([*out, _step(_RETURN, _ERRNO | _EPERM)])


def _step(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("=HBBI", code, if_true, if_false, value)


def _allow_path(ruleset: int, path: str, rights: int) -> None:
    if not os.path.isdir(path):
        rights &= _READ_FILE | _WRITE_FILE | _TRUNCATE
    opened = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        _syscall(_LANDLOCK_ADD, ruleset, ctypes.c_int(1), struct.pack("=Qi", rights, opened), ctypes.c_uint32(0))
    finally:
        os.close(opened)


def _mount(source: bytes, target: bytes, kind: bytes | None, flags: int, options: bytes | None) -> None:
    if _LIBC.mount(source, target, kind, ctypes.c_ulong(flags), options) != 0:
        raise OSError(ctypes.get_errno(), "a folder in memory cannot be mounted")


def _machine() -> str:
    found = platform.machine()
    if found not in (X86_64, AARCH64) or sys.maxsize < 2**32:
        raise OSError(f"no list of system calls for {found}")
    return found


def _prctl(option: int, *arguments: object) -> None:
    full = [*arguments, *[0] * (4 - len(arguments))]
    given = [ctypes.c_ulong(a) if isinstance(a, int) else a for a in full]
    if _LIBC.prctl(option, *given) != 0:
        raise OSError(ctypes.get_errno(), f"prctl {option}")


def _syscall(number: int, *arguments: object) -> int:
    found: int = _LIBC.syscall(number, *arguments)
    if found < 0:
        raise OSError(ctypes.get_errno(), f"system call {number}")
    return found
