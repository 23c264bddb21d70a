"""What travels to nodes and back: whole, checked, and without a label that a submission must not see."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from event_kit import event, write_event_kit
from farm_jobs import bytes_of, found_in, job_of, travels
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from small_kit import MARKS, write_kit

from hepchallenge.contract import load_challenge
from hepchallenge.data.prepared import prepare_toy
from hepchallenge.exceptions import InfrastructureError
from hepchallenge.farm.packing import pack_challenge, pack_submission, unpack_challenge
from hepchallenge.farm.wire import (
    JobEncoder,
    JobSpec,
    Listing,
    Setup,
    decode_listing,
    decode_parcel,
    decode_result,
    decode_setup,
    encode_parcel,
    encode_result,
    encode_setup,
)
from hepchallenge.records import DataInfo, HostFacts, PhaseUsage, Verdict
from hepchallenge.run.jobs import FoldResult
from hepchallenge.stage.stage import Staged, stage
from hepchallenge.stage.submission import take_in

DIGESTS = st.text("0123456789abcdef", min_size=64, max_size=64)
COUNTS = st.integers(0, 2**40)
NUMBERS = st.floats(0, 1e12)
TEXTS = st.text(max_size=20)

SPECS = st.builds(
    JobSpec,
    submission=DIGESTS,
    submission_digest=DIGESTS,
    fold=COUNTS,
    seed=st.integers(-(2**60), 2**60),
    labels=DIGESTS,
    train_inputs=st.none() | DIGESTS,
    test_inputs=st.none() | DIGESTS,
    n_train=COUNTS,
    n_test=st.none() | COUNTS,
    n_stream=st.none() | COUNTS,
    events=st.none() | DIGESTS,
    bytes=COUNTS,
)
SETUPS = st.builds(
    Setup,
    session=TEXTS,
    name=TEXTS,
    challenge=DIGESTS,
    builtin=st.booleans(),
    isolation=TEXTS,
    accounting=TEXTS,
    limits=st.dictionaries(TEXTS, st.none() | NUMBERS, max_size=3),
    seed=COUNTS,
    test_mode=st.booleans(),
    gpus=COUNTS,
    modules=st.lists(TEXTS, max_size=3),
    cache_bytes=COUNTS,
    shared=TEXTS,
    cores=st.none() | COUNTS,
)
ARRAYS = hnp.arrays(
    st.sampled_from(["<f8", "<f4", "<i8", "<i4", "|u1", "|b1", "<U3", ">f8"]),
    hnp.array_shapes(min_dims=1, max_dims=2, min_side=1, max_side=4),
)
RESULTS = st.builds(
    FoldResult,
    verdict=st.sampled_from(Verdict),
    message=TEXTS,
    predictions=st.dictionaries(TEXTS, ARRAYS, max_size=3),
    phases=st.lists(
        st.builds(
            PhaseUsage, phase=st.sampled_from(["fit", "predict"]), wall_seconds=NUMBERS, cpu_seconds=NUMBERS
        ),
        max_size=2,
    ),
    wall_seconds=NUMBERS,
    cpu_seconds=NUMBERS,
    peak_memory_bytes=COUNTS,
    gpus=st.lists(TEXTS, max_size=2).map(tuple),
    gpu_seconds=NUMBERS,
    gpu_peak_memory_bytes=COUNTS,
    event_seconds=st.dictionaries(TEXTS, NUMBERS, max_size=3),
    log=st.binary(max_size=20),
    host=st.none()
    | st.builds(
        HostFacts,
        name=TEXTS,
        cpu=TEXTS,
        cores=COUNTS,
        exclusive=st.booleans(),
        load=NUMBERS,
        reference_seconds=NUMBERS,
    ),
)


@given(st.lists(SPECS, max_size=3), SETUPS)
def test_jobs_and_setups_come_back_as_they_were(specs: list[JobSpec], setup: Setup) -> None:
    assert decode_parcel(encode_parcel(specs)) == specs
    assert decode_setup(encode_setup(setup)) == setup


@given(RESULTS)
def test_results_come_back_as_they_were(result: FoldResult) -> None:
    back = decode_result(encode_result(result))
    assert replace(back, predictions={}) == replace(result, predictions={})
    assert list(back.predictions) == list(result.predictions)
    for part, array in result.predictions.items():
        found = back.predictions[part]
        assert found.dtype == array.dtype
        assert found.shape == array.shape
        assert found.tobytes() == array.tobytes()
        # As those that come from a sandbox of this host.
        assert found.flags.writeable


@given(RESULTS, st.lists(SPECS, max_size=2), SETUPS, st.data())
def test_damaged_bytes_are_an_error_of_the_infrastructure_or_another_valid_message(
    result: FoldResult, specs: list[JobSpec], setup: Setup, data: st.DataObject
) -> None:
    pairs: list[tuple[bytes, Callable[[bytes], object]]] = [
        (encode_result(result), decode_result),
        (encode_parcel(specs), decode_parcel),
        (encode_setup(setup), decode_setup),
    ]
    for whole, decode in pairs:
        cut = data.draw(st.integers(0, len(whole) - 1))
        with pytest.raises(InfrastructureError):
            decode(whole[:cut])
        damaged = bytearray(whole)
        damaged[data.draw(st.integers(0, len(whole) - 1))] ^= data.draw(st.integers(1, 255))
        # Any other error fails the test.
        with contextlib.suppress(InfrastructureError):
            decode(bytes(damaged))


@given(st.binary(max_size=60))
def test_bytes_of_any_kind_are_no_message(noise: bytes) -> None:
    for decode in (decode_result, decode_setup, decode_listing):
        with pytest.raises(InfrastructureError):
            decode(noise)


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (["|O", [1], b"12345678"], "expected plain"),
        (["<f8", [2], b"12345678"], "dtype and shape say"),
        (["<f8", [-1], b"12345678"], "expected at most"),
        (["<U1", [1], b"\xff\xff\xff\xff"], "no"),
        (["<f8", [1], "12345678"], "no bytes"),
        (["<f8", [1]], "without dtype"),
        ({"pickle": b"cos\nsystem\n"}, "without dtype"),
    ],
)
def test_an_array_that_is_not_plain_is_refused(array: Any, words: str) -> None:
    message = {"verdict": "scored", "predictions": {"test": array}}
    with pytest.raises(InfrastructureError, match=words):
        decode_result(msgspec.msgpack.encode(message))


@pytest.mark.parametrize("figure", [float("nan"), float("inf"), -1.0])
@pytest.mark.parametrize("name", ["wall_seconds", "cpu_seconds", "gpu_seconds"])
def test_an_impossible_time_is_refused(name: str, figure: float) -> None:
    with pytest.raises(InfrastructureError, match="cannot be"):
        decode_result(encode_result(replace(FoldResult(verdict=Verdict.SCORED), **{name: figure})))


def test_a_message_that_is_not_unicode_travels_nevertheless() -> None:
    sent = FoldResult(verdict=Verdict.RUNTIME_ERROR, message="a\udcffb")
    assert decode_result(encode_result(sent)).message == "a?b"


# Jobs


def staged_kit(folder: Path, write: Callable[[Path], Path]) -> tuple[Any, Staged, Path]:
    """Return a kit's challenge, its staged data, and its submission as taken in."""
    kit = write(folder / "kit")
    challenge = load_challenge(kit)
    staged = stage(challenge, kit, None, folder / "inputs", secret=b"secret")
    (submission,) = (kit / "submissions").iterdir()
    return challenge, staged, take_in(submission, folder / "submissions", (), False).folder


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Staged, Path]:
    return staged_kit(tmp_path_factory.mktemp("rows"), write_kit)


@pytest.fixture(scope="module")
def events(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Staged, Path]:
    return staged_kit(tmp_path_factory.mktemp("events"), write_event_kit)


@pytest.mark.parametrize("kit", ["rows", "events"])
def test_every_object_has_the_digest_by_which_it_is_asked_for(
    kit: str, request: pytest.FixtureRequest
) -> None:
    challenge, staged, submission = request.getfixturevalue(kit)
    with JobEncoder(challenge.folder) as encoder:
        for fold in range(len(staged.truth.folds)):
            encoded = encoder.encode(job_of(challenge, staged, submission, fold))
            assert len(set(encoded.needs)) == len(encoded.needs)
            for digest in (encoder.challenge, *encoded.needs):
                assert hashlib.sha256(bytes_of(encoder, digest)).hexdigest() == digest
            assert encoded.spec.bytes == sum(len(bytes_of(encoder, digest)) for digest in encoded.needs)
            assert encoded.spec.submission_digest == submission.name


def test_objects_can_be_made_again_when_they_are_not_kept(
    events: tuple[Any, Staged, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hepchallenge.farm.wire._KEPT_BYTES", 0)
    challenge, staged, submission = events
    with JobEncoder(challenge.folder) as encoder:
        encoded = encoder.encode(job_of(challenge, staged, submission, 0))
        for digest in encoded.needs:
            assert hashlib.sha256(bytes_of(encoder, digest)).hexdigest() == digest


def test_events_of_trackml_are_the_same_bytes_whenever_they_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEPCHALLENGE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("hepchallenge.farm.wire._KEPT_BYTES", 0)
    challenge = load_challenge("trackml")
    make = challenge.problem.make_toy_data
    assert make is not None

    def few_hits(target: Path, seed: int = 0, n_events: int | None = None) -> None:
        make(target, seed=seed, n_events=n_events, n_hits=300)

    path = prepare_toy("trackml", few_hits, seed=0, events=4)
    staged = stage(challenge, path, DataInfo(kind="toy", digest="0" * 64), tmp_path / "inputs")
    (tmp_path / "empty").mkdir()
    with JobEncoder(challenge.folder) as encoder:
        encoded = encoder.encode(job_of(challenge, staged, tmp_path / "empty", 0))
        assert len(encoded.needs) > 6
        for digest in encoded.needs:
            assert hashlib.sha256(bytes_of(encoder, digest)).hexdigest() == digest


def test_a_submission_that_was_changed_after_it_was_taken_in_does_not_travel(
    rows: tuple[Any, Staged, Path], tmp_path: Path
) -> None:
    challenge, staged, submission = rows
    copy = tmp_path / submission.name
    copy.mkdir()
    file = copy / "classifier.py"
    file.write_bytes((submission / "classifier.py").read_bytes())
    with JobEncoder(challenge.folder) as encoder:
        job = job_of(challenge, staged, copy, 0)
        archive = encoder.encode(job).spec.submission
        file.write_text("other = 1")
        encoder._kept.clear()
        with pytest.raises(InfrastructureError, match="was changed"):
            encoder.object(archive)
    with (
        JobEncoder(challenge.folder) as encoder,
        pytest.raises(InfrastructureError, match="expected files of"),
    ):
        encoder.encode(job)


def test_what_python_compiles_is_no_part_of_a_submission(
    rows: tuple[Any, Staged, Path], tmp_path: Path
) -> None:
    (tmp_path / "pkg" / "__pycache__").mkdir(parents=True)
    (tmp_path / "pkg" / "one.py").write_text("1")
    before = pack_submission(tmp_path)
    (tmp_path / "pkg" / "__pycache__" / "one.cpython-311.pyc").write_bytes(b"x")
    (tmp_path / "pkg" / "__pycache__" / "two").write_text("x")
    (tmp_path / "old.pyc").write_bytes(b"x")
    assert pack_submission(tmp_path) == before


def test_only_code_travels_of_a_challenge(tmp_path: Path) -> None:
    kit = write_kit(tmp_path / "kit")
    for name in ("data/__init__.py", "submissions/__init__.py", "notes/secret.txt", "secret.csv"):
        (kit / name).parent.mkdir(exist_ok=True)
        (kit / name).write_text("secret")
    for name in ("own/__init__.py", "own/table.csv", "external_imports/other/one.py", "helper.py"):
        (kit / name).parent.mkdir(exist_ok=True, parents=True)
        (kit / name).write_text("shown")
    packed = tmp_path / "packed.tar"
    packed.write_bytes(pack_challenge(kit))
    assert pack_challenge(kit) == packed.read_bytes()
    target = tmp_path / "target"
    target.mkdir()
    unpack_challenge(packed, target)
    names = {path.relative_to(target).as_posix() for path in target.rglob("*") if path.is_file()}
    code = {"own/__init__.py", "own/table.csv", "external_imports/other/one.py", "helper.py", "problem.py"}
    assert names == code
    assert (target / "problem.py").read_bytes() == (kit / "problem.py").read_bytes()


def test_an_object_that_nobody_needs_is_not_to_be_had(rows: tuple[Any, Staged, Path]) -> None:
    with JobEncoder(rows[0].folder) as encoder:
        assert not encoder.is_public("0" * 64)
        with pytest.raises(InfrastructureError, match="no job"):
            encoder.object("0" * 64)


def test_inputs_are_public_and_labels_truths_and_submissions_are_not(
    rows: tuple[Any, Staged, Path], events: tuple[Any, Staged, Path]
) -> None:
    challenge, staged, submission = rows
    with JobEncoder(challenge.folder) as encoder:
        spec = encoder.encode(job_of(challenge, staged, submission, 0)).spec
        assert encoder.is_public(encoder.challenge)
        assert spec.train_inputs is not None
        assert encoder.is_public(spec.train_inputs)
        assert spec.test_inputs is not None
        assert encoder.is_public(spec.test_inputs)
        assert not encoder.is_public(spec.labels)
        assert not encoder.is_public(spec.submission)
    challenge, staged, submission = events
    with JobEncoder(challenge.folder) as encoder:
        spec = encoder.encode(job_of(challenge, staged, submission, 0)).spec
        assert spec.events is not None
        assert not encoder.is_public(spec.events)
        listing = decode_listing(bytes_of(encoder, spec.events))
        assert encoder.is_public(listing.shared)
        assert all(encoder.is_public(inputs) for inputs, _ in (*listing.valid.values(), *listing.test))
        for inputs, truth in listing.train.values():
            assert encoder.is_public(inputs)
            assert not encoder.is_public(truth)


def test_an_event_is_one_object_whatever_the_fold(events: tuple[Any, Staged, Path]) -> None:
    challenge, staged, submission = events
    job = job_of(challenge, staged, submission, 0)
    swapped = replace(job, fold=1, train_is=job.valid_is, valid_is=job.train_is)
    with JobEncoder(challenge.folder) as encoder:
        listings = []
        for one in (job, swapped):
            listed = encoder.encode(one).spec.events
            assert listed is not None
            listings.append(decode_listing(bytes_of(encoder, listed)))
    first, second = listings
    assert first.test == second.test
    assert {n: inputs for n, (inputs, _) in first.train.items()} == {
        n: i for n, (i, _) in second.valid.items()
    }


# Labels stay at home


def _single(values: np.ndarray) -> list[np.ndarray]:
    return list(values.reshape(-1, 1))


def test_no_label_of_a_test_or_validation_row_travels(rows: tuple[Any, Staged, Path]) -> None:
    challenge, staged, submission = rows
    truth = staged.truth
    with JobEncoder(challenge.folder) as encoder:
        for fold, (train_is, valid_is) in enumerate(truth.folds):
            encoded = encoder.encode(job_of(challenge, staged, submission, fold))
            sent = travels(encoder, encoded)
            assert not found_in(sent, _single(truth.y_test))
            assert not found_in(sent, _single(truth.y_train[valid_is]))
            # The search finds what is there.
            for value in _single(truth.y_train[train_is]):
                assert found_in(sent, [value]) == {encoded.spec.labels}


def test_the_search_finds_labels_that_were_planted(rows: tuple[Any, Staged, Path]) -> None:
    challenge, staged, submission = rows
    truth = staged.truth
    valid = _single(truth.y_train[truth.folds[0][1]])
    job = replace(job_of(challenge, staged, submission, 0), labels=truth.y_train)
    with JobEncoder(challenge.folder) as encoder:
        encoded = encoder.encode(job)
        assert found_in(travels(encoder, encoded), valid) == {encoded.spec.labels}
    assert found_in({"text": f"x{MARKS['test.csv'] + 1 / 1024!r}y".encode()}, _single(truth.y_test)) == {
        "text"
    }
    assert found_in({"pickled": truth.y_test[3:4].astype(">f8").tobytes()}, _single(truth.y_test)) == {
        "pickled"
    }


def test_no_truth_of_a_predicted_event_is_even_read(events: tuple[Any, Staged, Path]) -> None:
    challenge, staged, submission = events
    job = job_of(challenge, staged, submission, 0)
    assert job.events is not None
    asked: list[int] = []

    class Truths:
        def __len__(self) -> int:
            return len(staged.truth.y_train)

        def __getitem__(self, number: int) -> Any:
            asked.append(number)
            return staged.truth.y_train[number]

    job = replace(job, events=replace(job.events, truths=Truths()))
    with JobEncoder(challenge.folder) as encoder:
        encoded = encoder.encode(job)
        sent = travels(encoder, encoded)
    assert set(asked) == set(job.train_is.tolist())
    valid = [event("train", int(number))[1] for number in job.valid_is]
    test = [event("test", number)[1] for number in range(len(staged.events.test))]  # type: ignore[union-attr]
    runs = [truth[start : start + 3] for truth in (*valid, *test) for start in range(0, len(truth) - 2, 3)]
    assert not found_in(sent, runs)
    assert not found_in(sent, [run.astype(np.int32) for run in runs])
    for number in job.train_is:
        assert len(found_in(sent, [event("train", int(number))[1][:3]])) == 1


@pytest.fixture(scope="module")
def higgsml(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Staged, Path]:
    folder = tmp_path_factory.mktemp("higgsml")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HEPCHALLENGE_CACHE", str(folder / "cache"))
        challenge = load_challenge("higgsml")
        make = challenge.problem.make_toy_data
        assert make is not None
        path = prepare_toy("higgsml", make, seed=0, events=600)
        staged = stage(challenge, path, DataInfo(kind="toy", digest="0" * 64), folder / "inputs")
    (folder / "submission").mkdir()
    return challenge, staged, folder / "submission"


def test_no_weight_of_a_test_or_validation_row_travels(higgsml: tuple[Any, Staged, Path]) -> None:
    challenge, staged, submission = higgsml
    truth = staged.truth
    train_is, valid_is = truth.folds[0]
    weights = truth.y_train[:, 1]
    with JobEncoder(challenge.folder) as encoder:
        encoded = encoder.encode(job_of(challenge, staged, submission, 0))
        sent = travels(encoder, encoded)
    own = weights[train_is]
    assert not found_in(sent, _single(truth.y_test[~np.isin(truth.y_test[:, 1], own), 1]))
    assert not found_in(sent, _single(weights[valid_is][~np.isin(weights[valid_is], own)]))
    assert found_in(sent, _single(own)) == {encoded.spec.labels}


# Results


def scored(**predictions: np.ndarray) -> FoldResult:
    return FoldResult(verdict=Verdict.SCORED, predictions=predictions)


def test_a_good_result_of_rows_is_taken_as_it_is(rows: tuple[Any, Staged, Path]) -> None:
    challenge, staged, submission = rows
    job = job_of(challenge, staged, submission, 0)
    arrays = {"train": np.zeros(job.n_train), "test": np.ones(job.n_test or 0)}
    with JobEncoder(challenge.folder) as encoder:
        result = encoder.receive(job, scored(**arrays))
    assert result.verdict is Verdict.SCORED
    assert result.predictions == arrays


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"train": np.zeros(40)}, "expected predictions of 2 parts, found 1, train"),
        ({"train": np.zeros(40), "test": np.zeros(23), "more": np.zeros(1)}, "2 parts, found 3"),
        ({"train": np.zeros(40), "test": np.zeros(22)}, "expected 23 rows"),
        ({"train": np.full(40, np.nan), "test": np.zeros(23)}, "expected finite numbers"),
        ({"train": np.zeros((40, 2)), "test": np.zeros(23)}, "expected one number a row"),
    ],
)
def test_a_result_that_a_node_should_have_refused_is_the_nodes_fault(
    rows: tuple[Any, Staged, Path], arrays: dict[str, np.ndarray], words: str
) -> None:
    challenge, staged, submission = rows
    with JobEncoder(challenge.folder) as encoder:
        result = encoder.receive(job_of(challenge, staged, submission, 0), scored(**arrays))
    assert result.verdict is Verdict.INFRASTRUCTURE
    assert words in result.message
    assert not result.predictions


def test_predictions_of_events_go_to_their_keeper_in_order(events: tuple[Any, Staged, Path]) -> None:
    challenge, staged, submission = events
    kept: dict[str, np.ndarray] = {}
    job = job_of(challenge, staged, submission, 0, kept)
    right = {f"valid/{n}": event("train", int(n))[1] for n in job.valid_is}
    right |= {f"test/{n}": event("test", n)[1] for n in range(4)}
    result = FoldResult(
        verdict=Verdict.SCORED,
        predictions=dict(reversed(right.items())),
        event_seconds=dict.fromkeys(right, 0.5),
    )
    with JobEncoder(challenge.folder) as encoder:
        result = encoder.receive(job, result)
        assert result.verdict is Verdict.SCORED
        assert not result.predictions
        assert list(kept) == list(right)
        lacking = FoldResult(verdict=Verdict.SCORED, predictions=right, event_seconds={"valid/3": 0.5})
        assert encoder.receive(job, lacking).verdict is Verdict.INFRASTRUCTURE
        fewer = FoldResult(verdict=Verdict.SCORED, predictions={"valid/3": right["valid/3"]})
        assert encoder.receive(job, fewer).verdict is Verdict.INFRASTRUCTURE


def test_predictions_of_a_job_that_failed_are_dropped(rows: tuple[Any, Staged, Path]) -> None:
    challenge, staged, submission = rows
    failed = FoldResult(
        verdict=Verdict.WALL_LIMIT, message="\x1b[2Jlate", predictions={"train": np.zeros(3)}, log=b"words"
    )
    with JobEncoder(challenge.folder) as encoder:
        result = encoder.receive(job_of(challenge, staged, submission, 0), failed)
    assert (result.verdict, result.log) == (Verdict.WALL_LIMIT, b"words")
    assert "\x1b" not in result.message
    assert not result.predictions


def test_a_listing_names_every_object_once() -> None:
    listing = Listing(
        shared="s", n_events=3, train={0: ("a", "b")}, valid={1: ("c", 1)}, test=[("a", 1), ("d", 2)]
    )
    assert listing.objects == ("s", "a", "b", "c", "d")
    assert decode_listing(msgspec.json.encode(listing)) == listing
