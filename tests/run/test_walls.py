"""What a submission meets behind walls when it looks around or reaches out."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path
from typing import Any

import pytest
from small_kit import Bench, open_bench, refused, said

from hepchallenge.run import container
from hepchallenge.run.isolation import Isolation

WALLS = [level for level in Isolation if level is not Isolation.NONE]


def test_the_probe_tells_what_is_done_from_what_is_refused(walled: Bench) -> None:
    assert said(walled, "1 + 1") == ["done", 2]
    assert refused(walled, "open('/not/there')")


REFUSED = {
    "mode of the interpreter's file": "os.chmod('/proc/self/exe', 0o755)",
    "writing the interpreter's file": "open('/proc/self/exe', 'r+b')",
    "mode of the inherited standard input": "os.fchmod(0, 0o666)",
    "mode of a device": "os.chmod('/dev/null', 0o666)",
    "mode of a device over a hidden file": "os.chmod('/proc/keys', 0o666)",
    "core pattern": "open('/proc/sys/kernel/core_pattern', 'w').write('core')",
    "magic keys": "open('/proc/sysrq-trigger', 'w').write('h')",
    "own submission": "Path(__file__).write_text('')",
    "file beside its submission": "Path(__file__).with_name('new').touch()",
    "a library": "Path(np.__file__).touch()",
    "root folder": "Path('/new').touch()",
    "passwd": "Path('/etc/passwd').write_text('')",
    "mounting": "call('mount', b'none', b'/tmp', b'tmpfs', 0, None)",
    "remounting": "call('mount', None, b'/usr/lib', None, 32 | 4096, None)",
    "unmounting": "call('umount2', b'/proc', 2)",
    "namespaces in namespaces": "call('unshare', 0x10000000)",
    "tracing the first process": "call('ptrace', 16, 1, 0, 0)",
    "memory of the first process": "open('/proc/1/mem', 'rb')",
    "environment of the first process": "open('/proc/1/environ', 'rb').read()",
    "root of the first process": "os.listdir('/proc/1/root')",
    "descriptors of the first process": "os.readlink('/proc/1/fd/0')",
    "a higher limit": "__import__('resource').setrlimit(1, (1 << 30, 1 << 30))",
    "a socket to a hypervisor": "socket.socket(40, socket.SOCK_STREAM)",
    "a lock that other folds see": "__import__('fcntl').flock(os.open(np.__file__, os.O_RDONLY), 1)",
    "another fold's locks": "__import__('fcntl').fcntl(os.open(np.__file__, os.O_RDONLY), 36, bytes(32))",
    "a watch on files that other folds read": "call('inotify_init1', 0)",
    "an address on the network": "socket.create_connection(('192.0.2.1', 80), 5)",
    "a name": "socket.getaddrinfo('example.org', 80)",
    "kernel keys": "call('syscall', 250 if os.uname().machine == 'x86_64' else 219, 0, -3, 1)",
}


@pytest.mark.parametrize("action", REFUSED.values(), ids=REFUSED)
def test_refused_behind_walls(walled: Bench, action: str) -> None:
    assert refused(walled, action)


def test_becoming_root_is_refused_inside_a_container(contained: Bench) -> None:
    assert refused(contained, "os.setuid(0)")


def test_signals_to_the_first_process_have_no_effect(contained: Bench) -> None:
    assert said(contained, "[os.kill(1, n) for n in (9, 15, 19, 2)] and 'alive'") == ["done", "alive"]


def test_servers_of_the_host_cannot_be_reached(walled: Bench) -> None:
    name = f"\0hepchallenge-test-{os.getpid()}"
    with socket.create_server(("127.0.0.1", 0)) as tcp, socket.socket(socket.AF_UNIX) as abstract:
        abstract.bind(name)
        abstract.listen()
        # From here they can.
        socket.create_connection(tcp.getsockname()).close()
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(name)
        assert refused(walled, f"socket.create_connection({tcp.getsockname()!r}, 5)")
        assert refused(walled, f"socket.socket(socket.AF_UNIX).connect({name!r})")


def test_a_fold_has_no_descriptor_but_its_own_and_no_privilege(walled: Bench) -> None:
    links = (
        "{f: os.readlink(f'/proc/self/fd/{f}') for f in range(64) if os.path.islink(f'/proc/self/fd/{f}')}"
    )
    _, found = said(walled, links)
    kinds = [found.pop(n) for n in ("0", "1", "2")]
    assert kinds[0] == "/dev/null"
    assert [kind[:5] for kind in kinds[1:]] == ["pipe:", "pipe:"]
    # The staged inputs are mapped from their file.
    assert sorted(kind[:7] for kind in found.values() if not kind.endswith(".bundle")) == ["socket:"]
    _, status = said(walled, "Path('/proc/self/status').read_text()")
    words = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert {int(words[f"Cap{kind}"], 16) for kind in ("Inh", "Prm", "Eff", "Amb")} == {0}
    assert words["NoNewPrivs"] == "1"
    # Nor may its programs get the channel, or privileges.
    code = (
        "import ctypes, os\n"
        "def is_open(n):\n"
        "    try: return bool(os.fstat(n))\n"
        "    except OSError: return False\n"
        "head, capabilities = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()\n"
        "assert ctypes.CDLL(None).capget(head, capabilities) == 0\n"
        "print([n for n in range(64) if is_open(n)], sum(capabilities))"
    )
    program = f"subprocess.run([sys.executable, '-I', '-S', '-c', {code!r}], stdout=-1, close_fds=False)"
    seen = said(walled, f"{program}.stdout.decode().strip()")
    assert seen == ["done", "[0, 1, 2] 0"]


def test_neither_environment_nor_command_lines_nor_processes_tell_of_the_host(contained: Bench) -> None:
    _, processes = said(contained, "[p for p in os.listdir('/proc') if p.isdigit()]")
    assert processes == ["1", "2"]
    told = said(contained, "[Path(f'/proc/{p}/cmdline').read_text() for p in (1, 2)]")[1]
    told += said(contained, "dict(os.environ)")[1].values()
    assert not any(str(contained.folder) in text for text in told)


@pytest.mark.parametrize("level", WALLS)
def test_secrets_in_the_environment_stay_outside(
    tmp_path: Path, need: Any, monkeypatch: pytest.MonkeyPatch, level: Isolation
) -> None:
    monkeypatch.setenv("HEPCHALLENGE_TEST_TOKEN", "token-a1b2")
    with open_bench(tmp_path, need(level)) as bench:
        assert said(bench, "'token-a1b2' in Path('/proc/self/environ').read_text()") == ["done", False]


def test_nothing_else_of_the_kit_and_of_its_surroundings_can_be_read(contained: Bench) -> None:
    (contained.kit / "secret.csv").write_text("label")
    (contained.folder / "other submission").mkdir(exist_ok=True)
    (contained.folder / "other submission" / "classifier.py").write_text("")
    walk = f"[(folder, file) for folder, _, files in os.walk({str(contained.folder)!r}) for file in files]"
    _, found = said(contained, walk)
    bundles = [file for _, file in found if file.endswith(".bundle")]
    others = {f"{Path(folder).name}/{file}" for folder, file in found if file not in bundles}
    assert len(bundles) == 2
    assert others == {f"{contained.kit.name}/problem.py", f"submission {contained.count}/classifier.py"}


def test_scratch_space_is_private_and_limited(contained: Bench) -> None:
    fill = "[Path(f'/tmp/{n}').write_bytes(bytes(1 << 20)) for n in range(9)]"
    word, what = said(contained, fill)
    assert (word, "No space left" in what) == ("refused", True)
    assert said(contained, "sorted(p for p in os.listdir('/tmp') if p.isdigit())") == ["done", []]


@pytest.mark.parametrize("level", WALLS)
@pytest.mark.parametrize("place", ["site", "package", "prefix", "link"])
def test_data_that_lie_among_the_libraries_are_covered(
    place: str, level: Isolation, tmp_path: Path, need: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A kit inside `site-packages`, beside a package of the import path, in a prefix, or linked there."""
    need(level)
    root = {"site": tmp_path / "site-packages", "prefix": tmp_path / "prefix" / "lib"}.get(place, tmp_path)
    root.mkdir(parents=True, exist_ok=True)
    if place == "link":
        (tmp_path / "site-packages").symlink_to(tmp_path / "real")
        root = tmp_path / "real"
        root.mkdir()
        monkeypatch.syspath_prepend(str(tmp_path / "site-packages"))
    elif place == "prefix":
        monkeypatch.setattr(sys, "exec_prefix", str(root.parent))
    else:
        monkeypatch.syspath_prepend(str(root))
    (root / "shown.py").write_text("")
    container.interpreter_paths.cache_clear()
    try:
        with open_bench(root, level) as bench:
            (bench.kit / "__init__.py").touch()
            (bench.kit / "data" / "__init__.py").touch()
            (bench.kit / "labels.csv").touch()
            seen = said(bench, f"[readable(p) for p in {_places(bench.kit, root)!r}]")
            assert seen == ["done", [True, True, False, False, False, False]]
    finally:
        container.interpreter_paths.cache_clear()


def _places(kit: Path, root: Path) -> list[str]:
    names = [root / "shown.py", kit / "problem.py", kit / "data" / "test.csv", kit / "data" / "__init__.py"]
    return [*map(str, names), str(kit / "submissions" / "good"), str(kit / "labels.csv")]


def test_of_two_paths_the_deeper_one_decides_and_hiding_before_showing(tmp_path: Path) -> None:
    from hepchallenge.run.container import plan_container

    for name in ("a/b/c/d", "x"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "l").symlink_to("a/b")
    root = str(tmp_path.resolve())

    def steps(shown: list[str], hidden: list[str]) -> dict[str, str]:
        plan = plan_container([f"{root}/{p}" for p in shown], [f"{root}/{p}" for p in hidden], 1, "/m")
        return {path.removeprefix(f"{root}/"): what for path, what in plan.steps}

    assert steps(["a", "a/b/c"], ["a/b"]) == {"a": "show", "a/b": "hide", "a/b/c": "show"}
    assert steps(["a", "a/b"], []) == {"a": "show"}
    assert steps(["a"], ["a"]) == {}
    assert steps(["a/b"], ["a", "x"]) == {"a/b": "show"}
    assert steps(["l/c"], []) == {"l": "link a/b", "a/b/c": "show"}
    assert steps(["l/c"], ["l/c/d"]) == {"l": "link a/b", "a/b/c": "show", "a/b/c/d": "hide"}
    assert steps(["gone"], ["gone"]) == {}
