"""The file that says which farm to use."""

from __future__ import annotations

from pathlib import Path

import pytest

from hepchallenge.exceptions import ContractError, InfrastructureError, UsageError
from hepchallenge.farm.cluster import FarmSettings, read_cluster_file, start_cluster


def settings_of(folder: Path, text: str) -> FarmSettings:
    (folder / "farm.toml").write_text(text)
    return read_cluster_file(folder / "farm.toml")


def test_a_batch_system_is_named_by_a_word(tmp_path: Path) -> None:
    settings = settings_of(
        tmp_path,
        f"""
        class = "slurm"
        jobs = 20
        shared = "{tmp_path}"
        cache = "5GiB"
        patience = 3600

        [options]
        queue = "long"
        cores = 8
        """,
    )
    assert settings.cluster == "dask_jobqueue.SLURMCluster"
    assert (settings.jobs, settings.workers) == (20, 0)
    assert settings.options == {"queue": "long", "cores": 8}
    assert (settings.shared, settings.cache_bytes, settings.patience) == (str(tmp_path), 5 << 30, 3600)


def test_a_running_cluster_is_named_by_its_address(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, 'scheduler = "tcp://10.0.0.1:8786"\ncache = 1000000')
    assert settings.scheduler == "tcp://10.0.0.1:8786"
    assert settings.cache_bytes == 1000000


@pytest.mark.parametrize(
    ("text", "key", "expected"),
    [
        ("workers = 2", "class", "either a class of clusters"),
        ('class = "slurm"\nscheduler = "tcp://a:1"\nworkers = 1', "class", "either a class"),
        ('class = "slurrm"\nworkers = 2', "class", "one of LocalCluster, slurm"),
        ('class = "slurm"', "workers", "either workers = N or jobs = N"),
        ('class = "slurm"\nworkers = 2\njobs = 1', "workers", "either workers = N or jobs = N"),
        ('class = "slurm"\njobs = 0', "jobs", "a number above 0"),
        ('class = "slurm"\njobs = "2"', "jobs", "a whole number"),
        ('class = "LocalCluster"\njobs = 2', "jobs", "no batch system"),
        ('class = "LocalCluster"\nworkers = 2\n[options]\nprocesses = false', "options.processes", "true"),
        ('class = "LocalCluster"\nworkers = 2\n[options]\nn_workers = 3', "options.n_workers", "above"),
        ('class = "LocalCluster"\nworkers = 2\nshared = "no/such"', "shared", "a folder, from the root"),
        ('class = "LocalCluster"\nworkers = 2\ncache = "5 stones"', "cache", "a size such as"),
        ('class = "LocalCluster"\nworkers = 2\npatience = -1', "patience", "above 0"),
        ('class = "LocalCluster"\nworkers = 2\npatiense = 1', "patiense", "did you mean patience"),
        ('scheduler = "tcp://a:1"\nworkers = 2', "workers", "has the workers that it has"),
        ("class = [", "syntax", "TOML"),
    ],
)
def test_an_error_names_file_and_key(tmp_path: Path, text: str, key: str, expected: str) -> None:
    with pytest.raises(ContractError, match=r"farm\.toml") as caught:
        settings_of(tmp_path, text)
    assert caught.value.where == key
    assert expected in str(caught.value)


def test_a_file_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such cluster file"):
        read_cluster_file(tmp_path / "none.toml")


@pytest.mark.parametrize(
    ("name", "options", "where"),
    [
        ("no_such_module.Cluster", {}, "class"),
        ("pathlib.NoSuchCluster", {}, "class"),
        ("decimal.Decimal", {"a_word": 1}, "options"),
    ],
)
def test_a_class_that_cannot_be_made_is_an_error_of_the_file(
    tmp_path: Path, name: str, options: dict[str, int], where: str
) -> None:
    settings = FarmSettings(file=tmp_path / "farm.toml", cluster=name, workers=1, options=options)
    with pytest.raises(ContractError) as caught:
        start_cluster(settings)
    assert caught.value.where == where


def test_a_cluster_that_fails_to_start_is_the_farms_fault(tmp_path: Path) -> None:
    # Any callable will do for this: it raises what is neither a wrong word nor a wrong value.
    settings = FarmSettings(
        file=tmp_path / "f", cluster="os.listdir", workers=1, options={"path": "/no/such"}
    )
    with pytest.raises(InfrastructureError, match="cannot be started"):
        start_cluster(settings)
