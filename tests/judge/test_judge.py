"""Submissions on their way to a verdict: what is locked, shared, dropped and taken over."""

from __future__ import annotations

import contextlib
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from small_kit import GOOD, classifier, write_kit, write_submission

from hepchallenge import judge
from hepchallenge.contract import BoardRules
from hepchallenge.pipeline import score
from hepchallenge.progress import Silent
from hepchallenge.records import BoardEntry, Document, FoldOutcome, Verdict
from hepchallenge.store import Store

N_FOLDS = 3


class Heard(Silent):
    """Remembers what happened to which submission."""

    def __init__(self) -> None:
        self.began: dict[str, int] = {}
        self.count: Counter[tuple[str, str]] = Counter()
        self.done: list[str] = []

    def begin(self, jobs: Mapping[str, int]) -> None:
        self.began = dict(jobs)

    def taken_over(self, name: str, jobs: int) -> None:
        self.count["taken over", name] += jobs

    def job_started(self, name: str, fold: int, training: int, host: str) -> None:
        self.count["started", name] += 1

    def fold_done(self, name: str, outcome: FoldOutcome) -> None:
        self.count["done", name] += 1

    def job_dropped(self, name: str, fold: int, training: int) -> None:
        self.count["dropped", name] += 1

    def submission_done(self, entry: BoardEntry) -> None:
        self.done.append(entry.submission.name)


@pytest.fixture
def kit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("HEPCHALLENGE_DATABASE", raising=False)
    monkeypatch.chdir(tmp_path)
    return write_kit(tmp_path / "small")


def good(kit: Path, name: str, number: int = 0) -> Path:
    return write_submission(kit / "submissions" / name, f"{GOOD}\n# {number}\n")


def judged(kit: Path, *sources: Path, **more: Any) -> tuple[Document, Heard]:
    heard = Heard()
    return score(kit, sources, workspace="w", isolation="none", jobs=1, progress=heard, **more), heard


def test_few_submissions_are_locked_at_a_time_and_all_are_run(
    kit: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(judge, "_OPENED_TOGETHER", 2)
    held = most = 0
    try_lock = Store.try_lock

    @contextlib.contextmanager
    def counted(lock: contextlib.AbstractContextManager[None]) -> Iterator[None]:
        nonlocal held, most
        held += 1
        most = max(most, held)
        with lock:
            yield
        held -= 1

    def counting(*words: Any) -> Any:
        lock = try_lock(*words)
        return None if lock is None else counted(lock)

    monkeypatch.setattr(Store, "try_lock", counting)
    document, heard = judged(kit, *(good(kit, f"s{number}", number) for number in range(7)))
    assert document.exit_code == 0
    assert len(document.submissions) == len(set(heard.done)) == 7
    # Two that were opened together, and those of the jobs that wait: two for one slot.
    assert most <= 4
    assert held == 0


def test_what_another_command_runs_is_put_aside_and_done_when_that_has_ended(kit: Path) -> None:
    sources = [good(kit, name, number) for number, name in enumerate(("busy", "free"))]
    document, _ = judged(kit, *sources)
    busy = next(entry for entry in document.submissions if entry.submission.name == "busy")
    waiting = threading.Event()

    class Waiting(Heard):
        """Tells when it has nothing left but to wait."""

        def say(self, text: str) -> None:
            if text.startswith(f"another command is running submission {busy.submission.digest[:8]}"):
                waiting.set()

    with Store("w") as store, store.lock(busy.run_key):
        heard = Waiting()
        ended: list[Document] = []

        def run() -> None:
            ended.append(
                score(kit, sources, workspace="w", isolation="none", jobs=1, rerun=True, progress=heard)
            )

        thread = threading.Thread(target=run)
        thread.start()
        assert waiting.wait(120)
        assert heard.done == ["free"]
    thread.join(120)
    assert heard.done == ["free", "busy"]
    assert [entry.scoring.verdict for entry in ended[0].submissions] == [Verdict.SCORED, Verdict.SCORED]


def test_the_same_files_under_two_names_are_run_once(kit: Path) -> None:
    document, heard = judged(kit, good(kit, "one"), good(kit, "two"))
    assert [entry.submission.name for entry in document.submissions] == ["one", "two"]
    assert document.submissions[0].scoring == document.submissions[1].scoring
    assert heard.count["started", "one"] == N_FOLDS
    assert heard.count["started", "two"] == 0
    assert heard.done == ["one", "two"]


def test_after_a_failed_job_the_others_of_its_submission_are_dropped(kit: Path) -> None:
    bad = write_submission(kit / "submissions" / "bad", classifier(fit="raise ValueError('no')"))
    document, heard = judged(kit, bad, good(kit, "good"))
    assert [entry.scoring.verdict for entry in document.submissions] == [
        Verdict.RUNTIME_ERROR,
        Verdict.SCORED,
    ]
    assert heard.began == {"bad": N_FOLDS, "good": N_FOLDS}
    assert heard.count["dropped", "bad"] >= 1
    assert heard.count["dropped", "bad"] + heard.count["done", "bad"] == N_FOLDS
    assert heard.count["done", "good"] == N_FOLDS


def test_what_an_interrupted_command_recorded_is_taken_over(kit: Path) -> None:
    class Interrupting(Heard):
        def fold_done(self, name: str, outcome: FoldOutcome) -> None:
            raise KeyboardInterrupt

    source = good(kit, "slow")
    with pytest.raises(KeyboardInterrupt):
        score(kit, [source], workspace="w", isolation="none", jobs=1, progress=Interrupting())
    document, heard = judged(kit, source)
    assert document.exit_code == 0
    assert heard.began == {"slow": N_FOLDS}
    assert heard.count["taken over", "slow"] >= 1
    assert heard.count["taken over", "slow"] + heard.count["done", "slow"] == N_FOLDS


def test_what_has_a_verdict_is_told_of_and_not_begun(kit: Path) -> None:
    source = good(kit, "again")
    first, _ = judged(kit, source)
    document, heard = judged(kit, source)
    assert (heard.began, heard.done) == ({}, ["again"])
    assert document.submissions == first.submissions


def test_what_has_a_verdict_that_is_made_otherwise_now_is_scored_again_and_not_run(kit: Path) -> None:
    sources = [good(kit, "one"), good(kit, "two", 2)]
    first, _ = judged(kit, *sources)
    document, heard = judged(kit, *sources, rules=BoardRules(replicas=7))
    assert (heard.began, sorted(heard.done)) == ({}, ["one", "two"])
    assert heard.count["started", "one"] == heard.count["started", "two"] == 0
    for now, before in zip(document.submissions, first.submissions, strict=True):
        assert now.submission == before.submission
        assert now.scoring.scores == before.scoring.scores
        assert now.scoring.scorer_version != before.scoring.scorer_version
