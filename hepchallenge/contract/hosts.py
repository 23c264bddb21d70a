"""What the rules of a board demand of the hosts of its runs, so that times compare. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace

from hepchallenge.contract.rules import ONE_CLASS, BoardRules

__all__ = ["HostDemands", "demands"]


@dataclass(frozen=True, kw_only=True)
class HostDemands:
    """What a run must have had to be ranked; the defaults demand nothing."""

    host_class: str = ""
    """A model of processor, `one` for whichever, as long as it is the same for all, or empty for any."""
    exclusive_cores: bool = False
    """Whether every fold must have had its cores for itself."""

    def __bool__(self) -> bool:
        """Whether anything is demanded."""
        return bool(self.host_class) or self.exclusive_cores

    @property
    def wants_one_class(self) -> bool:
        """Whether all runs must be on one class of host, but any may be that one."""
        return self.host_class == ONE_CLASS

    def refuses(self, cpu: str, exclusive: bool) -> str:
        """Say why a fold on such a host would not be ranked; empty if it may be.

        Where any one class may be the board's, this cannot tell which it is: see `settled`.
        """
        cpu = " ".join(cpu.split())
        if self.host_class and not self.wants_one_class and cpu != self.host_class:
            return f"ran on {cpu}, the board takes {self.host_class}"
        if self.exclusive_cores and not exclusive:
            return "cores were not exclusive"
        return ""

    def settled(self, cpu: str) -> HostDemands:
        """Return the same demands where the one class of the board is known by now."""
        return replace(self, host_class=" ".join(cpu.split())) if self.wants_one_class else self


def demands(rules: BoardRules) -> HostDemands:
    """Return what rules demand of hosts."""
    return HostDemands(host_class=rules.host_class, exclusive_cores=rules.exclusive_cores)
