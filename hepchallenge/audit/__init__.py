"""The audit: what to know of a challenge before it begins, and of a board before all see it.

Checks are small functions from arrays to a finding, by topic: `order`, `features`, `copies`, `split`,
`grouping`, `metrics`, `kits`, `export`. `auditor` hands each what it looks at.
"""

from hepchallenge.audit.auditor import Audit, audit, export_findings

__all__ = ["Audit", "audit", "export_findings"]
