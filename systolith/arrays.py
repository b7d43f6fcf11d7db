"""Arguments and results of a core as .npz files."""

import os
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from systolith.hdl.errors import Error


def read_arrays(path: Path) -> dict[str, Any]:
    """Arrays by name; those without dimensions as scalars.

    Raises
    ------
    Error
        If the file cannot be read, or is not such a file.
    """
    try:
        with np.load(path, allow_pickle=False) as content:
            return {name: value[()] if (value := content[name]).ndim == 0 else value
                    for name in content.files}
    except OSError as error:
        raise Error(f"{path} cannot be read: {error.strerror or error}") from None
    except (ValueError, AttributeError, zipfile.BadZipFile):
        raise Error(f"{path} is not an .npz file of numbers") from None


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write arrays by name; the file appears when it is complete.

    Raises
    ------
    Error
        If it cannot be written.
    """
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                np.savez(file, **arrays)
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise Error(f"cannot write {path}: {error.strerror}") from None
