"""A board as a static site: one page that opens from disk and from any web server, without a network."""

from hepchallenge.board.site.figures import can_draw
from hepchallenge.board.site.model import Curve, Curves, Extras
from hepchallenge.board.site.write import export_site

__all__ = ["Curve", "Curves", "Extras", "can_draw", "export_site"]
