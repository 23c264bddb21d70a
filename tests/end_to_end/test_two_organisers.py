"""Two commands at once with one PostgreSQL server and one workspace, as from two hosts."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from small_kit import classifier, write_submission
from sqlalchemy import create_engine, func, select
from sqlalchemy.pool import NullPool

from hepchallenge.store import schema

N_SUBMISSIONS = 4
N_FOLDS = 3


def test_two_commands_at_once_share_the_work_and_show_the_same(
    kit: Path, command: Callable[..., Any], postgresql_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEPCHALLENGE_DATABASE", postgresql_url)
    names = [f"s{number}" for number in range(N_SUBMISSIONS)]
    for name in names:
        write_submission(kit / "submissions" / name, classifier() + f"# {name}\n")
    sources = [kit / "submissions" / name for name in names]
    words = ("--json", "--jobs", 1, "--isolation", "none")
    both = [command(kit, *order, *words) for order in (sources, reversed(sources))]
    documents = []
    for process in both:
        out, err = process.communicate(timeout=300)
        assert process.returncode == 0, err
        documents.append({entry["name"]: entry for entry in json.loads(out)["submissions"]})
    assert sorted(documents[0]) == names
    # To the last digit of every time measured: each was run once, whoever did it.
    assert documents[0] == documents[1]
    with create_engine(postgresql_url, poolclass=NullPool).connect() as connection:
        counts = [
            connection.execute(select(func.count()).select_from(table)).scalar_one()
            for table in (schema.submissions, schema.runs, schema.folds, schema.scorings)
        ]
    assert counts == [N_SUBMISSIONS, N_SUBMISSIONS, N_SUBMISSIONS * N_FOLDS, N_SUBMISSIONS]
