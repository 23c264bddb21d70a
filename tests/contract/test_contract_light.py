"""Commands that only look at challenges must not wait for heavy imports."""

from __future__ import annotations

import subprocess
import sys


def test_contract_imports_neither_pandas_nor_scikit_learn() -> None:
    code = "import sys, hepchallenge.contract as c; c.list_challenges(); "
    code += "print(sorted({'pandas', 'sklearn', 'rampwf', 'pyarrow'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
