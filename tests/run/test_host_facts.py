"""What is told of a host: the model of its processor on several architectures, and how fast it works."""

from __future__ import annotations

from dataclasses import asdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hepchallenge.records import FoldOutcome, HostFacts, Verdict
from hepchallenge.run.host import cpu_model, host_class, host_facts, library_versions, reference_seconds
from hepchallenge.store.codec import decode_fold, dumps, encode_fold

X86 = (
    "processor\t: {0}\nvendor_id\t: V\ncpu family\t: 6\nmodel\t\t: 85\nmodel name\t: Some(R)   CPU @ 2GHz\n\n"
)
ARM = "processor\t: {0}\nCPU implementer\t: 0x41\nCPU part\t: {1}\n\n"
POWER = "processor\t: {0}\ncpu\t\t: POWER9, altivec supported\n\n"


@pytest.mark.parametrize(
    ("text", "model"),
    [
        (X86.format(0) + X86.format(1), "Some(R) CPU @ 2GHz, family 6 model 85"),
        (ARM.format(0, "0xd0c") * 4, "ARM implementer 0x41 part 0xd0c"),
        (
            ARM.format(0, "0xd0c") + ARM.format(1, "0xd05"),
            "ARM implementer 0x41 part 0xd05 + ARM implementer 0x41 part 0xd0c",
        ),
        (POWER.format(0) + "timebase\t: 512000000\nplatform\t: PowerNV\n", "POWER9, altivec supported"),
        ("processor\t: 0\nisa\t: rv64\nuarch\t: sifive,u74-mc\n", "sifive,u74-mc"),
    ],
    ids=["x86", "arm", "arm with two kinds of cores", "power", "risc-v"],
)
def test_the_model_of_a_processor_is_told_on_every_architecture(text: str, model: str) -> None:
    assert cpu_model(text) == model


@given(st.text())
def test_the_model_is_one_line_whatever_the_kernel_says(text: str) -> None:
    model = cpu_model(f"model name\t: {text}\ncpu family\t: {text}\nmodel\t: {text}\n")
    assert model
    assert model == " ".join(model.split())


def test_the_facts_are_those_of_this_host() -> None:
    facts = host_facts(2, True, 0.25)
    assert (facts.cpu, facts.cores, facts.exclusive, facts.reference_seconds) == (cpu_model(), 2, True, 0.25)
    assert host_class(facts) == cpu_model()
    assert facts.name
    assert facts.load >= 0


def test_the_reference_work_takes_some_time_and_versions_are_told() -> None:
    assert 1e-5 < reference_seconds() < 10
    assert {"python", "hepchallenge", "numpy"} <= set(library_versions())


def test_a_host_comes_back_from_the_store_and_records_without_one_are_read() -> None:
    host = HostFacts(name="n", cpu="c", cores=1, exclusive=True, load=0.1, reference_seconds=0.003)
    outcome = FoldOutcome(fold=0, verdict=Verdict.SCORED, host=host)
    assert decode_fold(encode_fold(outcome)) == outcome
    older = asdict(outcome)
    del older["host"]
    assert decode_fold(dumps(older)).host is None
