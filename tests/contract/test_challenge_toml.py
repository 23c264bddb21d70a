"""`challenge.toml`: everything in it is checked, and an error names the key."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hepchallenge.contract import load_challenge, read_config
from hepchallenge.exceptions import ContractError
from hepchallenge.records import Limits

FULL = """
title = "Small"
summary = "A small challenge."
official_metric = "acc"
trainings = 9
licence = "CC0"
citation = "doi"
[limits]
fit_wall = 30
memory = "2GiB"
output = 1000
scratch = "3MiB"
log = 2000
processes = 8
cores = 2
gpu_seconds = 90
gpu_memory = "6GiB"
[features]
withheld = ["Weight", "Label"]
[prediction_file]
id = "EventId"
columns = { EventId = "int64", Score = "float64", Class = "string" }
[toy]
seed = 3
events = 500
hits = 4000
[[source]]
name = "events"
kind = "url"
location = "https://example.org/events.csv.gz"
filename = "events.csv.gz"
adler32 = "E4717BBE"
size = 10
[[source]]
name = "record"
kind = "doi"
location = "10.5281/zenodo.1234"
filename = "other.csv"
[[reference]]
name = "winner"
metric = "acc"
part = "private"
value = 1
source = "a paper"
confirmed = false
"""


def read(folder: Path, text: str) -> object:
    (folder / "challenge.toml").write_text(text)
    return read_config(folder)


def test_every_key_arrives_where_it_belongs(write: Callable[..., Path]) -> None:
    functions = "\ndef predictions_from_columns(columns): pass\ndef get_test_ids(path='.'): pass\n"
    config = load_challenge(write(extra=functions, toml=FULL)).config
    assert config.limits == Limits(
        fit_wall=30,
        memory_bytes=2 * 1024**3,
        output_bytes=1000,
        scratch_bytes=3 * 1024**2,
        log_bytes=2000,
        processes=8,
        cores=2,
        gpu_seconds=90,
        gpu_memory_bytes=6 * 1024**3,
    )
    assert config.trainings == 9
    assert config.withheld == ("Weight", "Label")
    assert config.prediction_file is not None
    assert list(config.prediction_file.columns) == ["EventId", "Score", "Class"]
    assert (config.toy.seed, config.toy.events, config.toy.hits) == (3, 500, 4000)
    assert config.sources[0].checksums == {"adler32": "e4717bbe"}
    assert config.sources[1].checksums == {}
    assert config.references[0].value == 1.0
    assert not config.references[0].confirmed


def test_without_the_file_there_are_defaults(tmp_path: Path) -> None:
    config = read_config(tmp_path)
    assert config.limits == Limits()
    assert config.sources == ()


@pytest.mark.parametrize(
    ("old", "new", "where"),
    [
        ("title =", "titel =", "titel"),
        ('title = "Small"', "title = 3", "title"),
        ("trainings = 9", "trainings = 0", "trainings"),
        ("trainings = 9", "trainings = 1001", "trainings"),
        ("fit_wall = 30", "fit_wall = 0", "limits.fit_wall"),
        ("fit_wall = 30", "fit_wall = true", "limits.fit_wall"),
        ("fit_wall = 30", "fit_wall = inf", "limits.fit_wall"),
        ("fit_wall = 30", "fit_wal = 30", "limits.fit_wal"),
        ('memory = "2GiB"', 'memory = "2 lots"', "limits.memory"),
        ("output = 1000", "output = -1", "limits.output"),
        ("processes = 8", "processes = 8.5", "limits.processes"),
        ("cores = 2", "cores = 1.5", "limits.cores"),
        ("cores = 2", "cores = 0", "limits.cores"),
        ("gpu_seconds = 90", "gpu_seconds = 0", "limits.gpu_seconds"),
        ('gpu_memory = "6GiB"', "gpu_memory = false", "limits.gpu_memory"),
        ('["Weight", "Label"]', '["Weight", 3]', "features.withheld[1]"),
        ('["Weight", "Label"]', '["Weight", "Weight"]', "features.withheld"),
        ('id = "EventId"', 'id = "Event"', "prediction_file.columns.Event"),
        ('Score = "float64"', 'Score = "float"', "prediction_file.columns.Score"),
        ("seed = 3", "seed = -3", "toy.seed"),
        ('id = "EventId"', 'id = "EventId"\nevent = "Class"', "prediction_file.event"),
        ('id = "EventId"', 'id = "EventId"\nevent = "EventId"', "prediction_file.event"),
        ("events = 500", "events = 0", "toy.events"),
        ("hits = 4000", "hits = -1", "toy.hits"),
        ('kind = "url"', 'kind = "ftp"', "source[0].kind"),
        ("https://example.org/", "ftp://example.org/", "source[0].location"),
        ('filename = "events.csv.gz"', 'filename = "../events.csv.gz"', "source[0].filename"),
        ('filename = "other.csv"', 'filename = "events.csv.gz"', "source[1].filename"),
        ('"E4717BBE"', '"E4717BB"', "source[0].adler32"),
        ("size = 10", "size = 0", "source[0].size"),
        ('"10.5281/zenodo.1234"', '"https://doi.org/10.5281/zenodo.1234"', "source[1].location"),
        ('part = "private"', 'part = "secret"', "reference[0].part"),
        ("value = 1", 'value = "1"', "reference[0].value"),
        ("confirmed = false", "", "reference[0].confirmed"),
        ("[toy]\nseed = 3\nevents = 500\nhits = 4000", "toy = 3", "toy"),
        ("[[reference]]", "[reference]", "reference"),
    ],
)
def test_a_mistake_is_named_by_its_key(tmp_path: Path, old: str, new: str, where: str) -> None:
    assert old in FULL
    # A plain key must stand before the first table.
    text = new + "\n" + FULL.replace(old, "") if new == "toy = 3" else FULL.replace(old, new, 1)
    with pytest.raises(ContractError) as caught:
        read(tmp_path, text)
    assert caught.value.where == where
    assert caught.value.file == str(tmp_path / "challenge.toml")


def test_an_unknown_key_offers_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match=r"did you mean summary\?"):
        read(tmp_path, 'sumary = "x"')


def test_broken_toml_tells_the_line(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match="line 2"):
        read(tmp_path, 'title = "x"\nsummary = x\n')


@pytest.mark.parametrize(
    ("toml", "where"),
    [
        ('official_metric = "auc"', "official_metric"),
        (
            '[[reference]]\nname="a"\nmetric="auc"\npart="test"\nvalue=1.0\nsource="b"\nconfirmed=true',
            "reference[0].metric",
        ),
        ('[prediction_file]\nid = "i"\ncolumns = { i = "int64" }', "predictions_from_columns"),
    ],
)
def test_toml_and_problem_must_agree(write: Callable[..., Path], toml: str, where: str) -> None:
    with pytest.raises(ContractError) as caught:
        load_challenge(write(toml=toml))
    assert caught.value.where == where


words = st.sampled_from(["", "name", "columns", "fit_wall", "4GiB"])
json_like = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.floats() | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=5,
)
keys = st.sampled_from(
    [
        "title",
        "limits",
        "features",
        "prediction_file",
        "toy",
        "source",
        "reference",
        "official_metric",
        "board",
        "phase",
        "other",
    ]
)


@settings(deadline=None)
@given(document=st.dictionaries(keys, json_like, max_size=3))
def test_any_document_is_read_or_refused_at_one_of_its_keys(document: dict[str, object]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("hepchallenge.contract.reader.tomllib.loads", lambda text: document)
        patch.setattr(Path, "read_text", lambda self, encoding: "")
        refused_at = None
        try:
            read_config(Path("folder"))
        except ContractError as error:
            refused_at = error.where
    assert refused_at is None or re.split(r"[.\[]", refused_at)[0] in document
