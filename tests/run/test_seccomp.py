"""The filter of system calls: its table, its compiled program, and what the kernel makes of it."""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import re
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hepchallenge.run import seccomp
from hepchallenge.run.seccomp import Argument, Rule, compile_filter, landlock_rules, numbers, rules

ALLOW, ERRNO, DATA = 0x7FFF0000, 0x00050000, 0xFFFF
MACHINES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
PID = 4321


def run_filter(code: bytes, number: int, arguments: tuple[int, ...] = (), arch: int = 0xC000003E) -> int:
    """Execute classic BPF as the kernel does; return 0 if the call is allowed, else the error."""
    full = [*arguments, *[0] * (6 - len(arguments))]
    data = struct.pack("<IIQ6Q", number, arch, 0, *(value & (1 << 64) - 1 for value in full))
    program = list(struct.iter_unpack("<HBBI", code))
    at = value = 0
    while True:
        kind, yes, no, k = program[at]
        at += 1
        if kind == 0x20:
            (value,) = struct.unpack_from("<I", data, k)
        elif kind == 0x54:
            value &= k
        elif kind == 0x15:
            at += yes if value == k else no
        elif kind == 0x25:
            at += yes if value > k else no
        else:
            assert kind == 0x06
            if k == ALLOW:
                return 0
            assert k & ~DATA == ERRNO
            return k & DATA


def answer(wanted: dict[str, Rule], name: str, *arguments: int, machine: str = "x86_64") -> int:
    code = compile_filter(wanted, machine)
    return run_filter(code, numbers(machine)[name], arguments, MACHINES[machine])


LEVELS = {"namespaces": rules(), "landlock": landlock_rules(7, PID), "old landlock": landlock_rules(1, PID)}


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("level", LEVELS)
def test_every_rule_without_exceptions_refuses_on_every_architecture(level: str, machine: str) -> None:
    known = numbers(machine)
    code = compile_filter(LEVELS[level], machine)
    for name, rule in LEVELS[level].items():
        if name in known and not rule.only_if and not rule.never_if:
            assert run_filter(code, known[name], arch=MACHINES[machine]) == rule.error, name


CLONE_NEWUSER, CLONE_NEWNET, CLONE_VM_THREAD, CLONE_NEWTIME = 0x10000000, 0x40000000, 0x3D0F00, 0x80
ARGUMENTS = [
    ("namespaces", "clone", (CLONE_VM_THREAD,), 0),
    ("namespaces", "clone", (17,), 0),
    ("namespaces", "clone", (CLONE_NEWUSER | 17,), errno.EPERM),
    ("namespaces", "clone", (CLONE_NEWNET | CLONE_VM_THREAD,), errno.EPERM),
    ("namespaces", "clone3", (1, 88), errno.ENOSYS),
    ("namespaces", "unshare", (0x400,), 0),
    ("namespaces", "unshare", (CLONE_NEWTIME,), errno.EPERM),
    ("namespaces", "unshare", (0x400 | CLONE_NEWUSER,), errno.EPERM),
    ("namespaces", "personality", (0xFFFFFFFF,), 0),
    ("namespaces", "personality", (0x0040000,), errno.EPERM),
    ("namespaces", "prlimit64", (0, 7), 0),
    ("namespaces", "prlimit64", (1, 7), errno.EPERM),
    ("namespaces", "setpriority", (0, 0, 5), 0),
    ("namespaces", "setpriority", (0, 77, 5), errno.EPERM),
    ("namespaces", "setpriority", (2, 0, 5), errno.EPERM),
    ("namespaces", "ioctl", (0, 0x5401), 0),
    ("namespaces", "ioctl", (0, 0x5412), errno.EPERM),
    # The kernel looks at the lower half only, so the upper one hides nothing.
    ("namespaces", "ioctl", (0, 0x5412 | 1 << 40), errno.EPERM),
    ("namespaces", "socket", (2, 1), 0),
    ("namespaces", "chmod", (), 0),
    ("namespaces", "kill", (1, 9), 0),
    ("landlock", "socketpair", (1, 1 | 0o2000000), 0),
    ("landlock", "socketpair", (1, 5), 0),
    ("landlock", "socketpair", (1, 2), errno.EPERM),
    ("landlock", "socketpair", (2, 1), errno.EPERM),
    ("landlock", "ioctl", (3, 0x40086602), errno.EPERM),
    ("landlock", "fcntl", (3, 1), 0),
    ("landlock", "fcntl", (3, 1024), errno.EPERM),
    ("landlock", "fcntl", (3, 8, 1), 0),
    ("landlock", "kill", (1, 9), 0),
    ("landlock", "openat", (0, 0, 0o1000), 0),
    ("old landlock", "kill", (1, 9), errno.EPERM),
    ("old landlock", "kill", (-1, 9), errno.EPERM),
    ("old landlock", "kill", (PID, 9), 0),
    ("old landlock", "kill", (0, 9), 0),
    ("old landlock", "kill", (1, 0), 0),
    ("old landlock", "tgkill", (PID, 1, 6), 0),
    ("old landlock", "tgkill", (1, 1, 6), errno.EPERM),
    ("old landlock", "fcntl", (3, 8, 1), errno.EPERM),
    ("old landlock", "openat", (0, 0, 0o1000), errno.EPERM),
    ("old landlock", "openat", (0, 0, 0o1000 | 3), errno.EPERM),
    ("old landlock", "openat", (0, 0, 0o1000 | 1), 0),
    ("old landlock", "openat", (0, 0, 2), 0),
]


@pytest.mark.parametrize(("level", "name", "arguments", "expected"), ARGUMENTS)
def test_arguments_decide(level: str, name: str, arguments: tuple[int, ...], expected: int) -> None:
    for machine in MACHINES:
        if name in numbers(machine):
            assert answer(LEVELS[level], name, *arguments, machine=machine) == expected


def test_ordinary_calls_pass_and_unknown_ones_do_not_exist() -> None:
    for wanted in LEVELS.values():
        code = compile_filter(wanted)
        # read, write, mmap, futex, execve, exit_group
        assert [run_filter(code, n) for n in (0, 1, 9, 202, 59, 231)] == [0] * 6
        assert {run_filter(code, n) for n in (463, 470, 600, 0x40000000, 0x40000029, 0xFFFFFFFF)} == {
            errno.ENOSYS
        }
        # The 32-bit call 1 is exit, which as a number of this architecture would pass.
        assert run_filter(code, 1, arch=0x40000003) == errno.ENOSYS


tests = st.builds(Argument, st.integers(0, 5), st.integers(0, 3), st.sampled_from([1, 2, 3, 0xFFFFFFFF]))
groups = st.lists(st.lists(tests, min_size=1, max_size=3).map(tuple), max_size=3).map(tuple)
values = st.lists(st.integers(0, 3), min_size=6, max_size=6)


@given(groups, st.booleans(), values, st.sampled_from(["kill", "bind"]))
def test_a_compiled_rule_decides_as_its_definition(
    alternatives: tuple[tuple[Argument, ...], ...], positive: bool, arguments: list[int], name: str
) -> None:
    rule = Rule(errno.EACCES, alternatives) if positive else Rule(errno.EACCES, (), alternatives)
    held = any(all(arguments[t.index] & t.mask == t.value for t in group) for group in alternatives)
    allowed = bool(alternatives) and held == positive
    wanted = {"bind": Rule(errno.EBUSY), "kill": rule, "listen": Rule(errno.EBUSY)}
    expected = (0 if allowed else errno.EACCES) if name == "kill" else errno.EBUSY
    assert answer(wanted, name, *arguments) == expected
    assert answer(wanted, "ptrace") == 0


def test_a_rule_for_a_call_that_is_not_in_the_table_is_an_error() -> None:
    with pytest.raises(KeyError, match="fork_bomb"):
        compile_filter({"fork_bomb": Rule()})


def test_the_numbers_are_those_of_the_kernels_headers() -> None:
    headers = {
        "x86_64": Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h"),
        "aarch64": Path("/usr/include/asm-generic/unistd.h"),
    }
    for machine, header in headers.items():
        if not header.exists():
            pytest.skip(f"no {header}")
        found = dict(re.findall(r"#define __NR(?:3264)?_(\w+)\s+(\d+)", header.read_text()))
        for name, number in numbers(machine).items():
            # Younger calls are not in every header.
            if name in found:
                assert number == int(found[name]), (machine, name)
        assert len(set(found) & set(numbers(machine))) > 80


def in_child(action: Callable[[], object]) -> object:
    """Run an action in a child; return its number, or the error that it raised."""
    read_end, write_end = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.write(write_end, str(action()).encode())
        except OSError as error:
            os.write(write_end, f"error {error.errno}".encode())
        finally:
            os._exit(0)
    os.close(write_end)
    with os.fdopen(read_end) as pipe:
        text = pipe.read()
    os.waitpid(pid, 0)
    return text


needs_filter = pytest.mark.skipif(bool(seccomp.unavailable()), reason=seccomp.unavailable() or "-")


@needs_filter
def test_the_kernel_takes_every_filter_and_programs_still_start() -> None:
    for wanted in LEVELS.values():

        def start(wanted: dict[str, Rule] = wanted) -> int:
            seccomp.install(wanted)
            return os.system("exit 7") >> 8

        assert in_child(start) == "7"


@needs_filter
def test_the_kernel_refuses_what_the_filter_says() -> None:
    libc = ctypes.CDLL(None, use_errno=True)

    def call(number: int, *arguments: int) -> str:
        def run() -> int:
            seccomp.install(rules())
            if libc.syscall(number, *(ctypes.c_long(a) for a in arguments)) < 0:
                raise OSError(ctypes.get_errno(), "")
            return 0

        return str(in_child(run))

    own = numbers()
    assert call(own["ptrace"], 0, 0, 0, 0) == f"error {errno.EPERM}"
    assert call(own["clone3"], 0, 0) == f"error {errno.ENOSYS}"
    assert call(own["unshare"], CLONE_NEWUSER) == f"error {errno.EPERM}"
    assert call(own["personality"], 0xFFFFFFFF) == "0"
    assert call(own["io_uring_setup"], 1, 0) == f"error {errno.EPERM}"
    assert call(1000) == f"error {errno.ENOSYS}"


@needs_filter
@pytest.mark.skipif(platform.machine() != "x86_64", reason="other instruction sets are those of x86_64")
def test_calls_through_another_instruction_set_do_not_exist() -> None:
    import mmap

    # mov eax, 20 (getpid); int 0x80; ret
    code = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    code.write(b"\xb8\x14\x00\x00\x00\xcd\x80\xc3")
    getpid_32 = ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(code)))
    if in_child(lambda: getpid_32() == os.getpid()) != "True":
        pytest.skip("this kernel runs no 32-bit calls")

    def run(call: Callable[[], int]) -> Callable[[], int]:
        def filtered() -> int:
            seccomp.install(rules())
            return call()

        return filtered

    assert in_child(run(getpid_32)) == f"-{errno.ENOSYS}"
    # x32
    assert in_child(run(lambda: ctypes.CDLL(None).syscall(ctypes.c_long(0x40000000 + 39)))) == "-1"
