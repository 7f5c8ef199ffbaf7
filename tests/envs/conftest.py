"""Where the tests find the published data."""

import os
import warnings
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """The folder in REASONENV_DATA, by default `shared/data` beside the checkout."""
    beside = Path(__file__).resolve().parents[2].parent / "shared" / "data"
    folder = Path(os.environ.get("REASONENV_DATA", beside))
    wanted = ("gsm8k/train.jsonl", "gsm8k/test.jsonl", "svamp/SVAMP.json")
    missing = [name for name in wanted if not (folder / name).is_file()]
    if missing:
        message = f"NOT TESTED ON REAL DATA: {folder} lacks {', '.join(missing)}; set REASONENV_DATA to run these tests"
        warnings.warn(message, stacklevel=1)
        pytest.skip(message)
    return folder
