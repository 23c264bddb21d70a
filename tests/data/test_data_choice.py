"""What a command uses when it names no data."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from hepchallenge import data
from hepchallenge.contract import Challenge
from hepchallenge.exceptions import DataError, UsageError

Make = Callable[..., Challenge]


def test_nothing_chosen_means_toy_data_with_the_challenges_defaults(make_challenge: Make) -> None:
    challenge = make_challenge(toml="[toy]\nseed = 5\nevents = 33\n")
    manifest = data.read_manifest(data.current(challenge))
    assert (manifest.kind, manifest.rows["train"], manifest.info) == ("toy", 33, {"seed": 5})
    assert data.chosen(challenge).kind == "toy"


def test_the_last_choice_holds(challenge: Challenge, published: Path) -> None:
    real = data.select(challenge, published)
    assert data.current(challenge) == real
    assert data.chosen(challenge).source == str(published)
    toy = data.select_toy(challenge, seed=3, events=7)
    assert data.current(challenge) == toy != data.toy(challenge)
    data.select_toy(challenge)
    assert data.current(challenge) == data.toy(challenge)


def test_chosen_data_outlive_their_published_files(challenge: Challenge, published: Path) -> None:
    real = data.select(challenge, published)
    shutil.rmtree(published)
    assert data.current(challenge) == real


def test_new_code_prepares_the_chosen_files_again(make_challenge: Make, published: Path) -> None:
    first = data.select(make_challenge(), published)
    changed = make_challenge("\n# changed\n")
    second = data.current(changed)
    assert second != first
    assert data.chosen(changed).prepared == str(second)
    shutil.rmtree(published)
    with pytest.raises(DataError, match=r"choose again with: hepchallenge data /.*/small --from"):
        data.current(make_challenge("\n# changed again\n"))


def test_a_prepared_folder_can_be_chosen(challenge: Challenge, published: Path, tmp_path: Path) -> None:
    moved = Path(shutil.copytree(data.prepare(challenge, published), tmp_path / "moved"))
    data.select(challenge, moved)
    assert data.current(challenge) == moved


def test_a_damaged_choice_is_told(challenge: Challenge, published: Path, cache: Path) -> None:
    data.select(challenge, published)
    (file,) = cache.glob("*/selected.json")
    for text in ("{", '{"kind": "path"}', '{"kind": "x"}', '{"kind": "toy", "more": 1}', "3"):
        file.write_text(text)
        with pytest.raises(DataError, match=r"selected\.json"):
            data.current(challenge)


def test_challenges_of_one_name_in_two_places_choose_apart(
    challenge: Challenge, published: Path, tmp_path: Path
) -> None:
    from hepchallenge.contract import load_challenge

    other = load_challenge(shutil.copytree(challenge.folder, tmp_path / "elsewhere" / "small"))
    data.select(challenge, published)
    assert data.chosen(other).kind == "toy"


def test_a_plain_kit_reads_its_own_data(make_challenge: Make, tmp_path: Path) -> None:
    kit = make_challenge("\ndel prepare_data, make_toy_data\n")
    assert data.has_own_data(kit)
    assert data.current(kit) == kit.folder
    assert data.resolve(kit, tmp_path) == tmp_path
    with pytest.raises(DataError, match="no such folder"):
        data.resolve(kit, tmp_path / "absent")
    for call in (data.toy, data.fetch):
        with pytest.raises(UsageError):
            call(kit)
    for choose in (data.prepare, data.select):
        with pytest.raises(UsageError):
            choose(kit, tmp_path)
