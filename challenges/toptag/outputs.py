"""Make prediction files of published outputs: `python -m hepchallenge.challenges.toptag.outputs FILE OUT`.

Outputs are published as arrays of probabilities of all test jets in the order of the test file. As prediction
files they are scored like any other: `hepchallenge score toptag OUT/*.parquet --data FOLDER`.
"""

from __future__ import annotations

from pathlib import Path

import click
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pa_parquet

from hepchallenge.exceptions import DataError, HepChallengeError

__all__ = ["write_outputs"]

_NOT_OUTPUTS = ("label", "is_signal_new", "pt")


def write_outputs(file: Path, folder: Path) -> list[Path]:
    """Write one prediction file, `<name>.parquet`, for every output in a file.

    Parameters
    ----------
    file : Path
        `.npz` with arrays of probabilities, shape (n,) each, named as the taggers. Arrays called `label`,
        `is_signal_new` and `pt` are left out.
    folder : Path
        Made if it is not there.

    Returns
    -------
    list of Path
        The files, which have the columns `id`, the number of the jet from 0, and `prediction`.

    Raises
    ------
    DataError
        If the file has no outputs, or one of another shape.
    """
    try:
        loaded = np.load(file, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise DataError(file, "content", "arrays of numpy (.npz)", str(error).splitlines()[0]) from None
    if isinstance(loaded, np.ndarray):
        raise DataError(file, "content", "named arrays of numpy (.npz)", "one array without a name")
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    with loaded:
        for name in (n for n in loaded.files if n not in _NOT_OUTPUTS):
            output = loaded[name]
            if output.ndim != 1 or output.dtype.kind != "f":
                found = f"{output.dtype} of shape {output.shape}"
                raise DataError(file, f"array {name}", "one floating-point number a jet", found)
            table = pa.table({"id": np.arange(len(output)), "prediction": output.astype(np.float64)})
            written.append(folder / f"{Path(name).name}.parquet")
            pa_parquet.write_table(table, written[-1])
    if not written:
        raise DataError(file, "arrays", "outputs of taggers", "none")
    return written


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.argument("folder", metavar="OUT", type=click.Path(file_okay=False, path_type=Path))
def main(file: Path, folder: Path) -> None:
    """Write the outputs of taggers in FILE (.npz) as prediction files into the folder OUT."""
    try:
        files = write_outputs(file, folder)
    except HepChallengeError as error:
        raise click.ClickException(str(error)) from None
    click.echo("\n".join(str(written) for written in files))


if __name__ == "__main__":
    main(prog_name="python -m hepchallenge.challenges.toptag.outputs")
