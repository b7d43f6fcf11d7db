"""Cores for the tests of the simulators."""

import json
import sys
from pathlib import Path

import pytest

from systolith.sim.simulators.core import Core

ADDER = Path(__file__).with_name("adder")
sys.path.insert(0, str(ADDER))        # simulators import the model by name, in subprocesses too


@pytest.fixture(scope="session", autouse=True)
def cache_directory(tmp_path_factory):
    """One empty build cache for the whole session."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SYSTOLITH_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture
def make_adder(tmp_path):
    """Write the adder with some lanes, its text passed through ``change``; read it as a core."""
    def make(lanes=4, change=lambda text: text):
        from adder_model import AdderConfig

        config = AdderConfig(lanes=lanes)
        text = (ADDER / "adder.v").read_text()
        text = text.replace("LANES = 4", f"LANES = {lanes}")
        text = text.replace("HASH = 32'h0", f"HASH = 32'h{config.config_hash[:8]}")
        changed = change(text)
        (tmp_path / "adder.v").write_text(changed)
        (tmp_path / "adder.json").write_text(
            json.dumps({"name": "adder", "config": config.model_dump(), "cells": []}))
        return Core.read(tmp_path / "adder.v", tmp_path / "adder.json", "adder_model:MODEL")
    return make
