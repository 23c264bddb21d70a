"""A filter of system calls, compiled here to the kernel's BPF, for a process that will run a submission.

What a learning program needs passes. Refused are the calls that exist to look into other processes, to change
the host, or to reach parts of the kernel that only its attackers have a use for. A call that is younger than
this list is answered as a kernel without it would (`ENOSYS`), so that no future call is allowed unseen; so is
every call made through another instruction set (32-bit or x32), which the numbers would not fit.

The filter only sees numbers, never what a pointer leads to. Therefore `clone3`, whose flags lie in memory,
does not exist (libraries fall back on `clone`), and what needs a path to be judged is Landlock's task.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import socket
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

__all__ = [
    "Argument",
    "Rule",
    "compile_filter",
    "install",
    "landlock_rules",
    "numbers",
    "rules",
    "unavailable",
]

# By name: the numbers on x86_64 and aarch64; None where the architecture never had the call.
_NUMBERS: dict[str, tuple[int | None, int | None]] = {
    # Other processes.
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "process_madvise": (440, 440),
    "process_mrelease": (448, 448),
    "kcmp": (312, 272),
    "pidfd_getfd": (438, 438),
    "migrate_pages": (256, 238),
    "move_pages": (279, 239),
    "prlimit64": (302, 261),
    "sched_setaffinity": (203, 122),
    "sched_setscheduler": (144, 119),
    "sched_setparam": (142, 118),
    "sched_setattr": (314, 274),
    "setpriority": (141, 140),
    "ioprio_set": (251, 30),
    # What is mounted, and namespaces.
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "move_mount": (429, 429),
    "open_tree": (428, 428),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "mount_setattr": (442, 442),
    "statmount": (457, 457),
    "listmount": (458, 458),
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    "unshare": (272, 97),
    "setns": (308, 268),
    "clone": (56, 220),
    "clone3": (435, 435),
    # Parts of the kernel with a history of holes, of no use to a submission.
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    "fanotify_init": (300, 262),
    "fanotify_mark": (301, 263),
    "modify_ldt": (154, None),
    "uselib": (134, None),
    "personality": (135, 92),
    "ioctl": (16, 29),
    # The host itself. Privilege is needed too; this is the second lock.
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "swapon": (167, 224),
    "swapoff": (168, 225),
    "reboot": (169, 142),
    "settimeofday": (164, 170),
    "clock_settime": (227, 112),
    "adjtimex": (159, 171),
    "clock_adjtime": (305, 266),
    "quotactl": (179, 60),
    "quotactl_fd": (443, 443),
    "acct": (163, 89),
    "nfsservctl": (180, 42),
    "lookup_dcookie": (212, 18),
    "vhangup": (153, 58),
    "iopl": (172, None),
    "ioperm": (173, None),
    "syslog": (103, 116),
    "sethostname": (170, 161),
    "setdomainname": (171, 162),
    # Network and sockets.
    "socket": (41, 198),
    "socketpair": (53, 199),
    "bind": (49, 200),
    "connect": (42, 203),
    "listen": (50, 201),
    "accept": (43, 202),
    "accept4": (288, 242),
    # Objects that outlive their makers.
    "shmget": (29, 194),
    "shmat": (30, 196),
    "shmctl": (31, 195),
    "semget": (64, 190),
    "semop": (65, 193),
    "semtimedop": (220, 192),
    "semctl": (66, 191),
    "msgget": (68, 186),
    "msgsnd": (69, 189),
    "msgrcv": (70, 188),
    "msgctl": (71, 187),
    "mq_open": (240, 180),
    "mq_unlink": (241, 181),
    # What is written about files, which Landlock does not look after.
    "chmod": (90, None),
    "fchmod": (91, 52),
    "fchmodat": (268, 53),
    "fchmodat2": (452, 452),
    "chown": (92, None),
    "fchown": (93, 55),
    "lchown": (94, None),
    "fchownat": (260, 54),
    "utime": (132, None),
    "utimes": (235, None),
    "futimesat": (261, None),
    "utimensat": (280, 88),
    "setxattr": (188, 5),
    "lsetxattr": (189, 6),
    "fsetxattr": (190, 7),
    "removexattr": (197, 14),
    "lremovexattr": (198, 15),
    "fremovexattr": (199, 16),
    "inotify_init": (253, None),
    "inotify_init1": (294, 26),
    "fcntl": (72, 25),
    "flock": (73, 32),
    # For kernels whose Landlock is older.
    "kill": (62, 129),
    "tkill": (200, 130),
    "tgkill": (234, 131),
    "rt_sigqueueinfo": (129, 138),
    "rt_tgsigqueueinfo": (297, 240),
    "pidfd_send_signal": (424, 424),
    "truncate": (76, 45),
    "open": (2, None),
    "openat": (257, 56),
    "openat2": (437, 437),
    # Used by this package.
    "seccomp": (317, 277),
}
_LAST_NUMBER = 462
"""The youngest call that was looked at when this list was made (`mseal`, Linux 6.10)."""
_MACHINES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}
"""Column of the table and the kernel's constant (AUDIT_ARCH_...) for an architecture."""

_PR_SET_NO_NEW_PRIVS = 38
_PR_GET_SECCOMP = 21
_SET_MODE_FILTER = 1
# Without this, kernels before 5.16 slow the whole process down against a leak between its own threads.
_FLAG_SPEC_ALLOW = 4

_NEW_NAMESPACES = 0x7E020000
"""CLONE_NEW{NS,CGROUP,UTS,IPC,USER,PID,NET}."""
_NEW_TIME = 0x80
"""CLONE_NEWTIME; in `clone` these bits are the signal at a child's end."""
_ANY_32 = 0xFFFFFFFF
_TIOCSTI, _TIOCLINUX = 0x5412, 0x541C
_FIOSETOWN, _SIOCSPGRP = 0x8901, 0x8902
# Flags, project and attributes, encryption and verity of a file that is open for reading only.
_FILE_IOCTLS = (0x40086602, 0x401C5820, 0x800C6613, 0xC0506617, 0x40806685)
_F_SETOWN, _F_SETOWN_EX, _F_SETLEASE = 8, 15, 1024
_NAMESPACED_FAMILIES = (socket.AF_UNIX, socket.AF_INET, socket.AF_INET6, socket.AF_NETLINK)
_OTHERS_LOCKS = (5, 36, _F_SETLEASE)
"""F_GETLK and F_OFD_GETLK ask for what others have locked; a lease tells that others open a file."""
_O_ACCMODE, _O_TRUNC = 3, 0o1000
_SOCK_TYPE = 0xF


@dataclass(frozen=True)
class Argument:
    """A test of the lower half of an argument: `argument & mask == value`.

    The kernel takes every argument that is tested here as an `int` or looks at its lower 32 bits only.
    """

    index: int
    value: int
    mask: int = _ANY_32


@dataclass(frozen=True)
class Rule:
    """When a call is refused, and with which error.

    Either `only_if` (allowed if one of these holds) or `never_if` (refused if one of these holds) lists
    alternatives, each a group of tests of which all must hold. With neither, the call is always refused.
    """

    error: int = errno.EPERM
    only_if: tuple[tuple[Argument, ...], ...] = ()
    never_if: tuple[tuple[Argument, ...], ...] = ()


def _never(index: int, values: Iterable[int]) -> Rule:
    return Rule(never_if=tuple((Argument(index, value),) for value in values))


def numbers(machine: str | None = None) -> dict[str, int]:
    """Return the numbers of the calls that are named here, on this architecture or another."""
    column, _ = _MACHINES[machine or platform.machine()]
    found = {name: pair[column] for name, pair in _NUMBERS.items()}
    return {name: number for name, number in found.items() if number is not None}


_ALWAYS = (
    *("ptrace", "process_vm_readv", "process_vm_writev", "process_madvise", "process_mrelease", "kcmp"),
    *("pidfd_getfd", "migrate_pages", "move_pages", "sched_setaffinity", "ioprio_set"),
    *("mount", "umount2", "pivot_root", "chroot", "move_mount", "open_tree", "fsopen", "fsconfig", "fsmount"),
    *("fspick", "mount_setattr", "statmount", "listmount", "name_to_handle_at", "open_by_handle_at", "setns"),
    *("bpf", "perf_event_open", "userfaultfd", "io_uring_setup", "io_uring_enter", "io_uring_register"),
    *("add_key", "request_key", "keyctl", "fanotify_init", "fanotify_mark", "modify_ldt", "uselib"),
    *("kexec_load", "kexec_file_load", "init_module", "finit_module", "delete_module", "swapon", "swapoff"),
    *("reboot", "settimeofday", "clock_settime", "adjtimex", "clock_adjtime", "quotactl", "quotactl_fd"),
    *("acct", "nfsservctl", "lookup_dcookie", "vhangup", "iopl", "ioperm", "syslog", "sethostname"),
    "setdomainname",
    # By locks and watches on files that all can read, folds that run at once could tell each other labels.
    *("flock", "inotify_init", "inotify_init1"),
)
_OWN_ONLY = {
    # Process 0 is the calling one. On others of the same user they would act from any distance.
    "prlimit64": Rule(only_if=((Argument(0, 0),),)),
    "sched_setscheduler": Rule(only_if=((Argument(0, 0),),)),
    "sched_setparam": Rule(only_if=((Argument(0, 0),),)),
    "sched_setattr": Rule(only_if=((Argument(0, 0),),)),
    "setpriority": Rule(only_if=((Argument(0, 0), Argument(1, 0)),)),
}


def rules() -> dict[str, Rule]:
    """Return what is refused to every submission that is isolated at all."""
    return {
        **dict.fromkeys(_ALWAYS, Rule()),
        **_OWN_ONLY,
        "unshare": Rule(only_if=((Argument(0, 0, _NEW_NAMESPACES | _NEW_TIME),),)),
        "clone": Rule(only_if=((Argument(0, 0, _NEW_NAMESPACES),),)),
        "clone3": Rule(errno.ENOSYS),
        # Asking is harmless; changing weakens the memory layout.
        "personality": Rule(only_if=((Argument(0, _ANY_32),),)),
        # Typing into a terminal that was inherited.
        "ioctl": _never(1, (_TIOCSTI, _TIOCLINUX)),
        "fcntl": _never(1, _OTHERS_LOCKS),
        # Of the others some, as VSOCK, which leads to a hypervisor, do not care for network namespaces.
        "socket": Rule(only_if=tuple((Argument(0, family),) for family in _NAMESPACED_FAMILIES)),
    }


_OUTLIVING = (
    *("shmget", "shmat", "shmctl", "semget", "semop", "semtimedop", "semctl"),
    *("msgget", "msgsnd", "msgrcv", "msgctl", "mq_open", "mq_unlink"),
)
_ABOUT_FILES = (
    *("chmod", "fchmod", "fchmodat", "fchmodat2", "chown", "fchown", "lchown", "fchownat"),
    *("utime", "utimes", "futimesat", "utimensat"),
    *("setxattr", "lsetxattr", "fsetxattr", "removexattr", "lremovexattr", "fremovexattr"),
)
_SOCKETS = ("socket", "connect", "bind", "listen", "accept", "accept4")
# A pair of datagram sockets could be turned to any server's path.
_PAIRS = tuple(
    (Argument(0, socket.AF_UNIX), Argument(1, kind, _SOCK_TYPE))
    for kind in (socket.SOCK_STREAM, socket.SOCK_SEQPACKET)
)


def _signal_rules(pid: int) -> dict[str, Rule]:
    """Refuse signals to other processes, where Landlock does not; children cannot be told from strangers."""
    return {
        # 0 is the own process group, and signal 0 only asks.
        "kill": Rule(only_if=((Argument(0, 0),), (Argument(0, pid),), (Argument(1, 0),))),
        "tgkill": Rule(only_if=((Argument(0, pid),),)),
        **dict.fromkeys(("tkill", "rt_sigqueueinfo", "rt_tgsigqueueinfo", "pidfd_send_signal"), Rule()),
    }


def _truncating(index: int) -> Rule:
    """Refuse to empty a file by opening it otherwise than for writing; 3 is neither reading nor writing."""
    mask = _O_TRUNC | _O_ACCMODE
    ways = (os.O_RDONLY, _O_ACCMODE)
    return Rule(never_if=tuple((Argument(index, _O_TRUNC | way, mask),) for way in ways))


def landlock_rules(abi: int, pid: int) -> dict[str, Rule]:
    """Return what is refused where there are no namespaces.

    Parameters
    ----------
    abi
        Version of the kernel's Landlock; what it does not look after yet is refused here.
    pid
        The process whose filter this will be.
    """
    ioctls = [_TIOCSTI, _TIOCLINUX, *_FILE_IOCTLS]
    fcntls = [*_OTHERS_LOCKS]
    found = rules() | dict.fromkeys((*_OUTLIVING, *_ABOUT_FILES, *_SOCKETS), Rule())
    found["socketpair"] = Rule(only_if=_PAIRS)
    if abi < 3:
        found["truncate"] = Rule()
        found["open"], found["openat"] = _truncating(1), _truncating(2)
        found["openat2"] = Rule(errno.ENOSYS)
    if abi < 6:
        found |= _signal_rules(pid)
        fcntls += [_F_SETOWN, _F_SETOWN_EX]
        ioctls += [_FIOSETOWN, _SIOCSPGRP]
    found["ioctl"] = _never(1, ioctls)
    found["fcntl"] = _never(1, fcntls)
    return found


_LOAD, _AND, _JUMP_EQUAL, _JUMP_GREATER, _RETURN = 0x20, 0x54, 0x15, 0x25, 0x06
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000
_AT_NUMBER, _AT_MACHINE, _AT_ARGUMENTS = 0, 4, 16


def _instruction(code: int, k: int, yes: int = 0, no: int = 0) -> bytes:
    return struct.pack("<HBBI", code, yes, no, k)


def _compile_group(tests: tuple[Argument, ...], hit: int) -> list[bytes]:
    """Return `hit` if all tests hold, else fall through to what follows."""
    code: list[bytes] = []
    for test in reversed(tests):
        # Where this one fails, the rest of the group is jumped over, its last return included.
        over = len(code) + 1
        code = [
            # Little-endian: the lower half comes first.
            _instruction(_LOAD, _AT_ARGUMENTS + 8 * test.index),
            _instruction(_AND, test.mask),
            _instruction(_JUMP_EQUAL, test.value, 0, over),
            *code,
        ]
    return [*code, _instruction(_RETURN, hit)]


def compile_filter(wanted: Mapping[str, Rule], machine: str | None = None) -> bytes:
    """Return rules as a program of the kernel's classic BPF, for this architecture or another.

    Raises
    ------
    KeyError
        If a rule names a call that is not in this module's table.
    """
    machine = machine or platform.machine()
    known = numbers(machine)
    if unknown := set(wanted) - set(_NUMBERS):
        raise KeyError(*unknown)
    missing = _instruction(_RETURN, _ERRNO | errno.ENOSYS)
    code = [
        _instruction(_LOAD, _AT_MACHINE),
        _instruction(_JUMP_EQUAL, _MACHINES[machine][1], 1, 0),
        missing,
        _instruction(_LOAD, _AT_NUMBER),
        # The numbers of x32 lie above, too.
        _instruction(_JUMP_GREATER, _LAST_NUMBER, 0, 1),
        missing,
    ]
    for name, rule in wanted.items():
        if name not in known:
            continue
        refuse = _ERRNO | rule.error
        block = [part for group in rule.only_if for part in _compile_group(group, _ALLOW)]
        block += [part for group in rule.never_if for part in _compile_group(group, refuse)]
        block.append(_instruction(_RETURN, _ALLOW if rule.never_if else refuse))
        code += [_instruction(_JUMP_EQUAL, known[name], 0, len(block)), *block]
    return b"".join([*code, _instruction(_RETURN, _ALLOW)])


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("code", ctypes.c_char_p))


def unavailable() -> str:
    """Return an empty string if filters can be installed here, else the reason why not."""
    machine = platform.machine()
    if machine not in _MACHINES:
        return f"no table of system calls for the architecture {machine}"
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_GET_SECCOMP, 0, 0, 0, 0) < 0:
        return "the kernel was built without seccomp"
    return ""


def install(wanted: Mapping[str, Rule]) -> None:
    """Put this process and everything it starts under a filter, for good; it gains no privilege any more.

    Only the calling thread is filtered: call this while there is no other.

    Raises
    ------
    OSError
        If the kernel refuses, or has no filters for this architecture.
    """
    if reason := unavailable():
        raise OSError(errno.ENOSYS, reason)
    code = compile_filter(wanted)
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    program = _Program(len(code) // 8, code)
    number = ctypes.c_long(numbers()["seccomp"])
    mode, flags = ctypes.c_ulong(_SET_MODE_FILTER), ctypes.c_ulong(_FLAG_SPEC_ALLOW)
    if libc.syscall(number, mode, flags, ctypes.byref(program)):
        code_number = ctypes.get_errno()
        raise OSError(code_number, f"filter of system calls: {os.strerror(code_number)}")
