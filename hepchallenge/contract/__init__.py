"""The challenge contract: what a challenge folder must hold, checked before anything relies on it."""

from hepchallenge.contract.challenge import (
    Challenge,
    ChallengeFolder,
    builtin_folder,
    find_challenge,
    list_challenges,
    load_challenge,
)
from hepchallenge.contract.checks import check_folds, check_parts, check_test_features
from hepchallenge.contract.config import (
    ChallengeConfig,
    PredictionFile,
    Reference,
    Source,
    ToyDefaults,
    read_config,
)
from hepchallenge.contract.events import (
    EventInputs,
    EventTruths,
    check_event_folds,
    check_events,
)
from hepchallenge.contract.gates import Gate
from hepchallenge.contract.hosts import HostDemands, demands
from hepchallenge.contract.problem import Problem, load_problem
from hepchallenge.contract.rules import BoardRules, Phase, read_rules

__all__ = [
    "BoardRules",
    "Challenge",
    "ChallengeConfig",
    "ChallengeFolder",
    "EventInputs",
    "EventTruths",
    "Gate",
    "HostDemands",
    "Phase",
    "PredictionFile",
    "Problem",
    "Reference",
    "Source",
    "ToyDefaults",
    "builtin_folder",
    "check_event_folds",
    "check_events",
    "check_folds",
    "check_parts",
    "check_test_features",
    "demands",
    "find_challenge",
    "list_challenges",
    "load_challenge",
    "load_problem",
    "read_config",
    "read_rules",
]
