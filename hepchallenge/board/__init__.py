"""The board: who ranks where and why, shown or exported, with nothing hostile or secret in it."""

from hepchallenge.board.ranking import Board, MetricInfo, RankedRow, make_board, metric_infos, rank
from hepchallenge.board.render import EXPORTERS, FORMATS, export, to_csv, to_json, to_markdown, to_terminal

__all__ = [
    "EXPORTERS",
    "FORMATS",
    "Board",
    "MetricInfo",
    "RankedRow",
    "export",
    "make_board",
    "metric_infos",
    "rank",
    "to_csv",
    "to_json",
    "to_markdown",
    "to_terminal",
]
