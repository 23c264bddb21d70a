"""`[board]` and `[[phase]]`: read alike by the reader and the shipped schema, refused by file and key."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hepchallenge.contract import BoardRules, Phase, read_config, read_rules
from hepchallenge.contract.reader import TableReader
from hepchallenge.contract.rules import SCHEMA, take_rules
from hepchallenge.exceptions import ContractError, UsageError

FULL = """
[board]
entry = "chosen"
most_chosen = 3
reveal = 2026-05-05T18:00:00+02:00
ladder = true
ladder_step = 1
confidence = 0.9
replicas = 200
show_logs = true
host_class = "Some  Processor, family 6 model 1 "
exclusive_cores = true
[[phase]]
name = "morning"
start = 2026-05-04T09:00:00+02:00
end = 2026-05-04T12:00:00+02:00
submissions = 10
per_day = 4
interval = "10 min"
[[phase]]
name = "afternoon"
start = 2026-05-04T10:00:00Z
interval = 90.5
"""
SUMMER = timezone(timedelta(hours=2))


def read(folder: Path, text: str) -> BoardRules:
    (folder / "rules.toml").write_text(text)
    return read_rules(folder / "rules.toml")


def test_every_rule_arrives_where_it_belongs(tmp_path: Path) -> None:
    rules = read(tmp_path, FULL)
    assert rules == BoardRules(
        entry="chosen",
        most_chosen=3,
        reveal=datetime(2026, 5, 5, 16, tzinfo=UTC),
        ladder=True,
        ladder_step=1.0,
        confidence=0.9,
        replicas=200,
        show_logs=True,
        host_class="Some Processor, family 6 model 1",
        exclusive_cores=True,
        phases=(
            Phase(
                name="morning",
                start=datetime(2026, 5, 4, 9, tzinfo=SUMMER),
                end=datetime(2026, 5, 4, 12, tzinfo=SUMMER),
                submissions=10,
                per_day=4,
                interval=timedelta(minutes=10),
            ),
            Phase(
                name="afternoon",
                start=datetime(2026, 5, 4, 10, tzinfo=UTC),
                interval=timedelta(seconds=90.5),
            ),
        ),
    )
    (tmp_path / "challenge.toml").write_text(f'title = "x"\n{FULL}')
    assert read_config(tmp_path).rules == rules


def test_without_the_tables_there_are_no_rules(tmp_path: Path) -> None:
    assert read(tmp_path, "") == BoardRules() == read_config(tmp_path).rules


@pytest.mark.parametrize(
    ("text", "where", "words"),
    [
        ("board = 1", "board", "a table"),
        ('[board]\nentry = "first"', "board.entry", "best, last, chosen, all"),
        ("[board]\nladder_steps = 1", "board.ladder_steps", "did you mean ladder_step"),
        ("[board]\nladder_step = 0.1", "board.ladder_step", "ladder = true"),
        ("[board]\nladder = true\nladder_step = 0", "board.ladder_step", "above 0"),
        ("[board]\nmost_chosen = 2", "board.most_chosen", 'entry = "chosen"'),
        ("[board]\nconfidence = 95", "board.confidence", "below 1"),
        ("[board]\nreplicas = -1", "board.replicas", "from 0 to 100000"),
        ("[board]\nreveal = 2026-05-04T09:00:00", "board.reveal", "which has no offset"),
        ("[board]\nreveal = 2026-05-04", "board.reveal", "with its offset"),
        ('[board]\nreveal = "2026-05-04T09:00:00Z"', "board.reveal", "with its offset"),
        ("[phase]\nname = 'a'", "phase", "written [[phase]]"),
        ("[[phase]]", "phase[0].name", "a string"),
        ("[[phase]]\nname='a'\nsubmissions = 0", "phase[0].submissions", "from 1"),
        ("[[phase]]\nname='a'\nper_day = true", "phase[0].per_day", "whole number"),
        ("[[phase]]\nname='a'\ninterval = '10 minutes'", "phase[0].interval", "10 min"),
        ("[[phase]]\nname='a'\ninterval = 0", "phase[0].interval", "above 0"),
        (
            "[[phase]]\nname='a'\nstart=2026-01-02T00:00:00Z\nend=2026-01-02T01:00:00+01:00",
            "phase[0].end",
            "after the start",
        ),
        ("[[phase]]\nname='a'\n[[phase]]\nname='b'\nstart=2026-01-02T00:00:00Z", "phase[0].end", "an end"),
        ("[[phase]]\nname='a'\nend=2026-01-02T00:00:00Z\n[[phase]]\nname='b'", "phase[1].start", "a start"),
        (
            "[[phase]]\nname='a'\nend=2026-01-02T00:00:00Z\n[[phase]]\nname='b'\nstart=2026-01-01T23:59:59Z",
            "phase[1].start",
            "before the end of phase 'a'",
        ),
        (
            "[[phase]]\nname='a'\nend=2026-01-02T00:00:00Z\n[[phase]]\nname='a'\nstart=2026-01-02T00:00:00Z",
            "phase[1].name",
            "twice",
        ),
        ("title = 'x'", "title", "unknown key"),
    ],
)
def test_a_mistake_is_an_error_that_names_its_key(tmp_path: Path, text: str, where: str, words: str) -> None:
    with pytest.raises(ContractError, match=r"rules\.toml") as caught:
        read(tmp_path, text)
    assert caught.value.where == where
    assert words in str(caught.value)


def test_a_file_of_rules_that_is_not_there_is_wrong_usage(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"none\.toml: no such file of rules"):
        read_rules(tmp_path / "none.toml")


def as_json(value: Any) -> Any:
    """Return a TOML value as the schema sees it."""
    if isinstance(value, dict):
        return {key: as_json(item) for key, item in value.items()}
    if isinstance(value, list):
        return [as_json(item) for item in value]
    return value.isoformat() if isinstance(value, date) else value


moments = st.datetimes(
    datetime(2020, 1, 1), datetime(2030, 1, 1), timezones=st.sampled_from([None, UTC, SUMMER])
)
# Whole floats are left out: JSON does not tell 1.0 from 1.
wrong = st.sampled_from([None, True, "", "x", -1, 0, 1, 1.5, [], {}, date(2026, 1, 1)]).filter(
    lambda value: value is not None
)
# JSON does not tell a date from a text either, which matters where any text will do.
no_text = wrong.filter(lambda value: not isinstance(value, date))
FREE_TEXTS = ("name", "host_class")


def tables(**keys: Any) -> st.SearchStrategy[dict[str, Any]]:
    """Return tables with one or two keys of several, right or wrong; a name is there if it is a key."""
    always = {"name": st.just("one")} if "name" in keys else {}
    either = {key: st.one_of(right, no_text if key in FREE_TEXTS else wrong) for key, right in keys.items()}
    chosen = st.lists(st.sampled_from([*keys, *keys, "other"]), max_size=2, unique=True)
    return chosen.flatmap(
        lambda some: st.fixed_dictionaries({**always, **{key: either.get(key, wrong) for key in some}})
    )


boards = tables(
    entry=st.sampled_from(["best", "last", "chosen", "all"]),
    most_chosen=st.integers(1, 9),
    reveal=moments,
    ladder=st.booleans(),
    ladder_step=st.floats(0, 1, exclude_min=True),
    confidence=st.floats(0.5, 1, exclude_max=True),
    replicas=st.integers(0, 100_000),
    show_logs=st.booleans(),
    host_class=st.sampled_from(["one", "Some Processor", " ", ""]),
    exclusive_cores=st.booleans(),
)
phases = tables(
    name=st.sampled_from(["one", " ", ""]),
    start=st.datetimes(datetime(2020, 1, 1), datetime(2021, 1, 1), timezones=st.just(UTC)),
    end=st.datetimes(datetime(2022, 1, 1), datetime(2023, 1, 1), timezones=st.sampled_from([None, UTC])),
    submissions=st.integers(1, 9),
    per_day=st.integers(0, 9),
    interval=st.sampled_from(["10 min", "2  d", 60, 0.5]),
)


def is_read(document: dict[str, Any]) -> bool:
    try:
        take_rules(TableReader(Path("rules.toml"), document, ""))
    except ContractError:
        return False
    return True


def is_valid(document: dict[str, Any]) -> bool:
    jsonschema = pytest.importorskip("jsonschema", reason="jsonschema is not installed (extra: test)")
    schema = json.loads(SCHEMA.read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    return bool(jsonschema.Draft202012Validator(schema).is_valid(as_json(document)))


@settings(deadline=None, max_examples=300)
@given(
    document=st.fixed_dictionaries(
        {}, optional={"board": boards | wrong, "phase": st.lists(phases, max_size=1) | wrong}
    )
)
def test_reader_and_shipped_schema_take_and_refuse_the_same(document: dict[str, Any]) -> None:
    assert is_read(document) == is_valid(document)


@pytest.mark.parametrize(
    ("interval", "fits"),
    [
        *((fit, True) for fit in (0.5, 60, 1e8, "10 min", "1h", "99999 s", "3 d")),
        *((unfit, False) for unfit in (0, -1, 1.1e8, "0 s", "100000 s", "2  d", "10", "1.5 h", "h")),
    ],
)
def test_reader_and_shipped_schema_agree_on_intervals(interval: object, fits: bool) -> None:
    document = {"phase": [{"name": "one", "interval": interval}]}
    assert (is_read(document), is_valid(document)) == (fits, fits)
