"""Pictures of what is recorded: drawn from stored predictions, never by running a submission again."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hepchallenge.exceptions import ContractError, HepChallengeError, UnknownName, UsageError
from hepchallenge.job_making import recorded_predictions
from hepchallenge.pipeline import data_for
from hepchallenge.progress import Progress, Silent
from hepchallenge.records import BoardEntry, FoldOutcome, Verdict
from hepchallenge.text import clean

if TYPE_CHECKING:
    from hepchallenge.contract import Challenge
    from hepchallenge.stage.stage import Staged
    from hepchallenge.store import Store

__all__ = [
    "DRAWN_PARTS",
    "Material",
    "NothingToDraw",
    "draw",
    "first_outcome",
    "material_of",
    "results_folder",
    "wanted",
]

DRAWN_PARTS = ("valid", "test")
"""Parts that can be drawn: `valid`, whose truth participants have, or `test`, whose truth is hidden."""

_FOLD = 0
"""Of several folds the first one is drawn."""
_TRAINING = 0
"""Of several trainings as well."""

_PICTURES = (".png", ".svg")
_NOT_IN_NAMES = re.compile(r"[^\w.+-]+")


def results_folder(root: Path, challenge: str, name: str, digest: str, part: str) -> Path:
    """Return where a submission's pictures lie: `<root>/<challenge>/<name>-<first 8 of the digest>/<part>`.

    Of a name only letters, digits and `.+-_` are kept, so that it can neither lead elsewhere nor hide.
    """

    def safe(text: str) -> str:
        # At most 50 characters, hence 200 bytes, with the digest still within what file systems take.
        return _NOT_IN_NAMES.sub("_", clean(text, 50)).strip("._") or "_"

    return root / safe(challenge) / f"{safe(name)}-{digest[:8]}" / part


@dataclass(frozen=True)
class Material:
    """What one picture is made of: one item a row or event of the part that is drawn.

    `gates` has by name of the gate the truth and the prediction of its sample.
    """

    truth: Any
    predictions: Any
    inputs: Any
    gates: Mapping[str, tuple[Any, Any]] = field(default_factory=dict)


class _Chosen(Sequence[Any]):
    """Some items of a sequence, or of a mapping by their keys, read when asked for.

    `shared` and `event_ids` are as the whole has them.
    """

    def __init__(self, whole: Any, rows: Sequence[Any]) -> None:
        self._whole = whole
        self._rows = list(rows)

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return _Chosen(self._whole, self._rows[index])
        return self._whole[self._rows[index]]

    @property
    def shared(self) -> Any:
        """What all events have in common."""
        return self._whole.shared

    @property
    def event_ids(self) -> list[int]:
        """Ids of the chosen events; their numbers where they have none."""
        ids = getattr(self._whole, "event_ids", None)
        return self._rows if ids is None else [int(ids[row]) for row in self._rows]


def _rows_of(values: Any, rows: Any) -> Any:
    """Return some rows of arrays and frames; of any other sequence a view that reads them one by one."""
    if hasattr(values, "iloc"):
        return values.iloc[rows]
    if hasattr(values, "shape"):
        # Also what only stands for an array, such as jets without their padding.
        return values[rows]
    return _Chosen(values, [int(row) for row in rows])


class NothingToDraw(UsageError):
    """Why one submission has no picture."""


def first_outcome(entry: BoardEntry) -> FoldOutcome | None:
    """Return the fold and training that stand for a submission in pictures; None if they are not recorded."""
    return next((o for o in entry.folds if (o.fold, o.training) == (_FOLD, _TRAINING)), None)


def material_of(store: Store, staged: Staged, entry: BoardEntry, part: str) -> Material:
    """Return what a submission predicted on a part, with its truth: of several folds and trainings the first.

    Raises
    ------
    NothingToDraw
        If it has no predictions there, or their truth is not known.
    """
    # What fails a gate has predictions too, and its pictures show why it failed.
    if entry.scoring.verdict not in (Verdict.SCORED, Verdict.GATE_FAILED):
        raise NothingToDraw(f"its verdict is {entry.scoring.verdict.value}")
    outcome = first_outcome(entry)
    if part == "valid" and entry.submission.kind == "predictions":
        raise NothingToDraw("a prediction file has no predictions on valid; see --part test")
    if part == "test" and staged.truth.y_test is None:
        raise NothingToDraw("the truth of the test rows is not known here")
    if outcome is None:
        raise NothingToDraw(f"fold {_FOLD} is not recorded")
    of = _material_of_rows if staged.events is None else _material_of_events
    material = of(store, staged, outcome, part)
    gates = {
        name: (truth, store.load_array(outcome.predictions[name]))
        for name, truth in staged.truth.gates.items()
        if name in outcome.predictions
    }
    return replace(material, gates=gates)


def _material_of_rows(store: Store, staged: Staged, outcome: FoldOutcome, part: str) -> Material:
    from hepchallenge.bundle import load_bundle

    which = "train" if part == "valid" else "test"
    inputs = staged.train_inputs if part == "valid" else staged.test_inputs
    if which not in outcome.predictions or inputs is None:
        raise NothingToDraw(f"it has no predictions on {part}")
    predictions = store.load_array(outcome.predictions[which])
    truth = staged.truth
    if part == "test":
        return Material(truth.y_test, predictions, load_bundle(inputs))
    rows = truth.folds[_FOLD][1]
    return Material(_rows_of(truth.y_train, rows), predictions[rows], _rows_of(load_bundle(inputs), rows))


def _material_of_events(store: Store, staged: Staged, outcome: FoldOutcome, part: str) -> Material:
    assert staged.events is not None
    truth = staged.truth
    if part == "valid":
        rows = [int(row) for row in truth.folds[_FOLD][1]]
        truths, inputs = truth.y_train, staged.events.train
    else:
        rows = list(range(len(truth.y_test)))
        truths, inputs = truth.y_test, staged.events.test
    keys = [f"{part}/{row}" for row in rows]
    if not keys or any(key not in outcome.predictions for key in keys):
        raise NothingToDraw(f"it has no predictions on {part}")
    predictions = recorded_predictions(store, outcome)
    return Material(_Chosen(truths, rows), _Chosen(predictions, keys), _Chosen(inputs, rows))


def wanted(entries: Sequence[BoardEntry], names: Sequence[str]) -> list[BoardEntry]:
    """Return the entries that are meant: of a submission the latest run, of a name the latest submission."""
    last = {(entry.submission.name, entry.submission.digest): entry for entry in entries}
    if not names:
        return list(last.values())
    chosen = []
    for name in names:
        found = [entry for entry in last.values() if name in (entry.submission.name, entry.submission.digest)]
        if not found and Path(name).exists():
            from hepchallenge.stage.submission import submission_name

            known_as = submission_name(Path(name))
            found = [entry for entry in last.values() if entry.submission.name == known_as]
        if not found:
            raise UnknownName("submission", name, {entry.submission.name for entry in last.values()})
        if found[-1] not in chosen:
            chosen.append(found[-1])
    return chosen


def _with_pictures() -> Iterator[str]:
    """Yield the built-in challenges that draw."""
    from hepchallenge.contract import list_challenges, load_challenge

    for folder in list_challenges():
        if load_challenge(folder.folder).problem.draw_results is not None:
            yield folder.name


def _label(entry: BoardEntry, part: str, staged: Staged) -> str:
    # The name goes last but one, since what is too long is cut at its end.
    words = [clean(entry.submission.name, 50)]
    if entry.submission.kind == "code" and len(staged.truth.folds) > 1:
        words.append(f"fold {_FOLD}")
    if any(outcome.training != _TRAINING for outcome in entry.folds):
        words.append(f"training {_TRAINING}")
    words.append(part)
    if staged.data.kind == "toy":
        words.append("toy data (simulated)")
    return ", ".join(words)


def _draw_into(folder: Path, challenge: Challenge, material: Material, label: str) -> list[Path]:
    """Let pictures be made aside, then put each in its place; pictures drawn there before are removed."""
    from hepchallenge.data.files import told_when_full

    with told_when_full(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".draw-", dir=folder.parent) as temporary:
            _call(challenge, Path(temporary), material, label)
            made = sorted(p.name for p in Path(temporary).iterdir() if p.suffix in _PICTURES)
            for name in made:
                os.replace(Path(temporary, name), folder / name)
        for old in folder.iterdir():
            if old.suffix in _PICTURES and old.name not in made:
                old.unlink()
    return [folder / name for name in made]


def _call(challenge: Challenge, folder: Path, material: Material, label: str) -> None:
    """Call the challenge's own function; what it raises becomes an error that names it."""
    problem = challenge.problem
    assert problem.draw_results is not None
    gates = {"gates": material.gates} if problem.draws_gates else {}
    try:
        problem.draw_results(folder, material.truth, material.predictions, material.inputs, label, **gates)
    except HepChallengeError:
        raise
    except Exception as error:
        found = f"{type(error).__name__}: {error}"
        raise ContractError(problem.file, "draw_results", "pictures", found) from error


def draw(
    challenge: str | os.PathLike[str],
    submissions: Sequence[str] = (),
    *,
    part: str = "valid",
    data: str | os.PathLike[str] | None = None,
    workspace: str | os.PathLike[str] | None = None,
    export: str | os.PathLike[str] | None = None,
    progress: Progress | None = None,
) -> list[Path]:
    """Draw pictures of scored submissions from their stored predictions.

    Parameters
    ----------
    challenge, data, workspace, progress
        As for `score`.
    submissions
        Names, digests or folders; none means all that are scored on these data. A name stands for its latest
        submission.
    part
        `valid` or `test`. Pictures of `test` show hidden truth.
    export
        Folder for the pictures instead of `results` in the workspace.

    Returns
    -------
    list of Path
        The pictures, submission by submission, under `<challenge>/<name>-<digest>/<part>/`. Of several folds
        and trainings the first is drawn. Pictures that were there before are replaced.

    Raises
    ------
    UsageError
        If the challenge draws nothing, nothing is recorded, or matplotlib is missing.
    ContractError
        If the challenge's `draw_results` fails.
    """
    from hepchallenge.contract import load_challenge
    from hepchallenge.pictures import require_plots
    from hepchallenge.stage.stage import stage
    from hepchallenge.store import open_workspace

    if part not in DRAWN_PARTS:
        raise UsageError(f"part: expected {' or '.join(DRAWN_PARTS)}, found {part!r}")
    heard = progress or Silent()
    loaded = load_challenge(challenge)
    if loaded.problem.draw_results is None:
        raise UsageError(f"{loaded.name} has no pictures; challenges that do: {', '.join(_with_pictures())}")
    require_plots()
    made: list[Path] = []
    reasons: list[str] = []
    with open_workspace(workspace, must_exist=True) as store:
        path, info = data_for(loaded, data)
        inputs = store.workspace / "inputs"
        staged = {False: stage(loaded, path, info, inputs)}
        entries = store.entries(loaded.name, data_digest=staged[False].data.digest)
        if not entries:
            raise UsageError(f"{loaded.name} has nothing recorded on data {staged[False].data.digest[:12]}")
        root = store.workspace / "results" if export is None else Path(export)
        for entry in wanted(entries, submissions):
            quick = entry.run_key.quick
            if quick not in staged:
                # A quick run may have read fewer rows.
                staged[quick] = stage(loaded, path, info, inputs, quick=quick)
            try:
                material = material_of(store, staged[quick], entry, part)
            except NothingToDraw as error:
                reasons.append(f"{clean(entry.submission.name)}: nothing drawn: {error}")
                heard.say(reasons[-1])
                continue
            name, digest = entry.submission.name, entry.submission.digest
            folder = results_folder(root, loaded.name, name, digest, part)
            label = _label(entry, part, staged[quick])
            made += _draw_into(folder, loaded, material, label)
    if not made:
        raise UsageError("; ".join(reasons) or f"{loaded.name}: its draw_results made no picture")
    return made
