"""The public names are those in ``__all__``, and each one is documented."""

import inspect

import pytest
import systolith

PROMISED = {"Codes", "Error", "load"}           # what docs/index.md tells users to rely on


def names() -> list[str]:
    if not hasattr(systolith, "__all__"):
        pytest.skip("systolith has no public names yet")
    return systolith.__all__


def test_all_is_sorted_and_complete():
    public = sorted(name for name, value in vars(systolith).items()
                    if not name.startswith("_") and not inspect.ismodule(value))
    assert sorted(name for name in names() if not name.startswith("_")) == public


def test_promised_names_are_there():
    assert set(names()) >= PROMISED


def test_public_names_have_docstrings():
    undocumented = [name for name in names()
                    if not name.startswith("_") and not inspect.getdoc(getattr(systolith, name))]
    assert undocumented == []


def test_mistakes_of_the_caller_are_value_errors():
    names()
    assert issubclass(systolith.Error, ValueError)
