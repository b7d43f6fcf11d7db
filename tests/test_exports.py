"""The public names are those in ``__all__``, and each one is documented."""

import inspect

import systolith

PROMISED = {"Error", "generate", "load", "templates"}    # as docs/index.md lists them


def names() -> list[str]:
    return systolith.__all__


def test_all_is_complete():
    own = {name for name, value in vars(systolith).items()
           if not name.startswith("_") and not inspect.ismodule(value)
           and getattr(value, "__module__", "").startswith("systolith")}
    assert own <= set(names())


def test_all_names_exist_once():
    assert len(names()) == len(set(names()))
    missing = [name for name in names() if not hasattr(systolith, name)]
    assert missing == []


def test_promised_names_are_there():
    assert set(names()) >= PROMISED


def test_public_names_have_docstrings():
    undocumented = [name for name in names()
                    if not name.startswith("_") and not inspect.getdoc(getattr(systolith, name))]
    assert undocumented == []


def test_mistakes_of_the_caller_are_value_errors():
    names()
    assert issubclass(systolith.Error, ValueError)
