"""`hepchallenge doctor`: what it finds on this host, and what it says where something is missing."""

from __future__ import annotations

import importlib.metadata
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner
from toy_gpus import ToyDriver, toy_devices

from hepchallenge.cli import cli
from hepchallenge.exceptions import InfrastructureError
from hepchallenge.run import accounting, cores, doctor, gpu, landlock, seccomp
from hepchallenge.run.doctor import CHECKS, Finding, Host, Status, examine, is_safe
from hepchallenge.run.host import cpu_model
from hepchallenge.run.isolation import Isolation, probe

UPPER = [level for level in Isolation if level is not Isolation.NONE]


@pytest.fixture
def look(tmp_path: Path) -> Callable[[str], Finding]:
    """Make one check by its name."""

    def look(name: str) -> Finding:
        (finding,) = examine(Host(tmp_path / "workspace", tmp_path / "cache"), [(name, dict(CHECKS)[name])])
        return finding

    return look


@pytest.fixture
def levels(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Let only some levels of isolation work."""

    def only(*working: Isolation) -> None:
        monkeypatch.setattr(doctor, "probe", lambda level: "" if level in working else "the kernel says no")

    return only


def test_this_host_is_described_by_every_check_in_one_line_each(tmp_path: Path) -> None:
    findings = examine(Host(tmp_path / "workspace", tmp_path / "cache"))
    assert [finding.check for finding in findings] == [name for name, _ in CHECKS]
    for finding in findings:
        assert finding.fact
        assert "\n" not in finding.fact + finding.mend
        assert bool(finding.mend) == (finding.status is not Status.OK), finding
        assert "could not be looked at" not in finding.fact
    # Nothing is made only to look.
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("options", [[], ["--json"]], ids=["text", "json"])
def test_the_command_tells_by_its_exit_code_whether_strangers_code_can_run(
    tmp_path: Path, options: list[str]
) -> None:
    line = [sys.executable, "-m", "hepchallenge", "doctor", "--workspace", "here", *options]
    done = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True)
    safe = any(not probe(level) for level in UPPER)
    assert done.returncode == (0 if safe else 1), done.stdout
    if options:
        answer = json.loads(done.stdout)
        assert answer["safe"] is safe
        assert set(answer["checks"][0]) == {"check", "status", "fact", "mend"}
        assert {check["status"] for check in answer["checks"]} <= {"ok", "warn", "fail"}
    else:
        assert f"Strangers' code {'can' if safe else 'cannot'} be run safely" in done.stdout
        assert str(tmp_path / "here") in done.stdout


def test_without_namespaces_the_command_ends_with_1_unless_another_level_works(tmp_path: Path) -> None:
    if reason := probe(Isolation.NAMESPACES):
        pytest.skip(f"cannot be shut off, since it is not there: {reason}")
    code = (
        "import runpy, sys; from hepchallenge.run.reexec import enter_namespaces; enter_namespaces()\n"
        "open('/proc/sys/user/max_user_namespaces', 'w').write('0')\n"
        "sys.argv[:] = ['hepchallenge', 'doctor', '--json']\n"
        "runpy.run_module('hepchallenge', run_name='__main__')"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    checks = {check["check"]: check for check in json.loads(done.stdout)["checks"]}
    assert checks["isolation namespaces"]["status"] in ("warn", "fail")
    assert checks["isolation namespaces"]["mend"] == "sysctl -w user.max_user_namespaces=10000"
    others = [checks[f"isolation {level}"]["status"] for level in UPPER if level != Isolation.NAMESPACES]
    assert done.returncode == (0 if "ok" in others else 1), done.stdout


def test_cores_that_cannot_be_leased_are_a_warning(
    look: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cores, "core_folder", lambda: tmp_path / "cores")
    assert look("clock").status is Status.OK
    assert cpu_model() in look("clock").fact
    (tmp_path / "cores").touch()
    assert look("clock").status is Status.WARN
    assert "cores cannot be leased" in look("clock").fact


def test_no_level_but_none_is_a_failure(look: Callable, levels: Callable) -> None:
    levels(Isolation.NONE)
    findings = [look(f"isolation {level}") for level in UPPER]
    assert {finding.status for finding in findings} == {Status.FAIL}
    assert not is_safe(findings)
    assert findings[0].fact == "the kernel says no"


def test_the_command_ends_with_1_where_only_none_works(levels: Callable) -> None:
    levels(Isolation.NONE)
    done = CliRunner().invoke(cli, ["doctor", "--json"], standalone_mode=False)
    assert (json.loads(done.stdout)["safe"], done.return_value) == (False, 1)


@pytest.mark.skipif(len(UPPER) < 2, reason="there is one upper level only")
def test_one_upper_level_is_enough_and_the_others_are_warnings(look: Callable, levels: Callable) -> None:
    levels(UPPER[-1])
    findings = [look(f"isolation {level}") for level in UPPER]
    assert [finding.status for finding in findings] == [Status.WARN] * (len(UPPER) - 1) + [Status.OK]
    assert is_safe(findings)


@pytest.mark.parametrize(
    ("version", "status", "fact"), [(0, Status.WARN, "not offer"), (4, Status.OK, "ABI 4")]
)
def test_the_version_of_landlock_is_told(
    look: Callable, monkeypatch: pytest.MonkeyPatch, version: int, status: Status, fact: str
) -> None:
    monkeypatch.setattr(landlock, "abi_version", lambda: version)
    finding = look("kernel landlock")
    assert (finding.status, fact in finding.fact) == (status, True)


def test_without_seccomp_it_is_said_why(look: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seccomp, "unavailable", lambda: "the kernel was built without seccomp")
    finding = look("kernel seccomp")
    assert (finding.status, finding.fact) == (Status.WARN, "the kernel was built without seccomp")


def test_elsewhere_than_on_linux_one_line_says_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor.sys, "platform", "darwin")
    (finding,) = examine(Host(tmp_path, tmp_path))
    assert (finding.check, finding.status) == ("platform", Status.FAIL)
    assert "Linux only" in finding.mend


def test_sampled_accounting_is_a_warning_that_says_how_to_get_cgroups(
    look: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(accounting, "choose_accounting", lambda: accounting.Accounting.SAMPLED)
    finding = look("cgroups")
    assert (finding.status, "Delegate=yes" in finding.mend) == (Status.WARN, True)


@pytest.mark.parametrize(
    ("available", "status", "mend"),
    [
        (1, Status.WARN, "--jobs 1 and --memory below 1.0 GiB"),
        (9, Status.WARN, "--jobs 2"),
        (17, Status.OK, ""),
    ],
)
def test_memory_is_compared_with_what_folds_may_use_at_once(
    look: Callable, monkeypatch: pytest.MonkeyPatch, available: int, status: Status, mend: str
) -> None:
    monkeypatch.setattr(doctor.os, "sched_getaffinity", lambda _: {0, 1, 2, 3})
    memory = SimpleNamespace(available=available << 30, total=32 << 30)
    monkeypatch.setattr(doctor.psutil, "virtual_memory", lambda: memory)
    finding = look("memory")
    assert (finding.status, mend in finding.mend) == (status, True), finding


@pytest.mark.parametrize(
    ("free", "status"), [(10 << 30, Status.OK), (1 << 30, Status.WARN), (1 << 20, Status.FAIL)]
)
@pytest.mark.parametrize("name", ["workspace", "cache", "temporary"])
def test_disks_that_fill_up_are_told(
    look: Callable, monkeypatch: pytest.MonkeyPatch, name: str, free: int, status: Status
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=free))
    finding = look(f"disk {name}")
    assert (finding.status, bool(finding.mend)) == (status, status is not Status.OK)


def test_a_workspace_that_cannot_be_written_to_is_a_failure(look: Callable) -> None:
    # Where not even root may make a file.
    finding = examine(Host(Path("/proc/self/workspace"), Path()), [("workspace", dict(CHECKS)["workspace"])])[
        0
    ]
    assert (finding.status, "/proc/self" in finding.fact) == (Status.FAIL, True)
    assert "--workspace" in finding.mend
    assert look("workspace").status is Status.OK


def test_a_library_that_is_missing_is_named(look: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        importlib.metadata, "requires", lambda _: ["numpy>=1", "not-there>=2", "other; extra == 'farm'"]
    )
    finding = look("libraries")
    assert (finding.status, finding.fact) == (Status.WARN, "not installed: not-there")
    monkeypatch.setattr(importlib.metadata, "requires", lambda _: ["numpy>=1"])
    assert look("libraries").fact == f"numpy {importlib.metadata.version('numpy')}"


def test_no_gpu_is_all_right(look: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    def none() -> None:
        raise InfrastructureError("no NVIDIA driver was found")

    monkeypatch.setattr(gpu, "open_devices", none)
    monkeypatch.setattr(doctor.os.path, "exists", lambda path: False)
    assert look("gpus").status is Status.OK
    monkeypatch.setattr(doctor.os.path, "exists", lambda path: path == "/dev/nvidiactl")
    finding = look("gpus")
    assert (finding.status, finding.mend) == (Status.WARN, "no NVIDIA driver was found")


def test_gpus_are_named_and_those_without_a_device_file_are_a_warning(
    look: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gpu, "open_devices", lambda: ToyDriver(toy_devices(2)))
    assert look("gpus").fact == "toy GPU 0 (8.0 GiB), toy GPU 1 (8.0 GiB)"
    monkeypatch.setattr(gpu, "open_devices", lambda: ToyDriver(toy_devices(1, ("/dev/not-there",))))
    finding = look("gpus")
    assert (finding.status, "/dev/not-there is missing" in finding.mend) == (Status.WARN, True)


def test_a_check_that_breaks_vouches_for_nothing(tmp_path: Path) -> None:
    def broken(_: Host) -> doctor.Answer:
        raise RuntimeError("no idea")

    findings = examine(Host(tmp_path, tmp_path), [("broken", broken)])
    assert (findings[0].status, is_safe(findings)) == (Status.FAIL, False)
    assert "no idea" in findings[0].fact
