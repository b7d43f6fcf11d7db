"""Selections written such that synthesis keeps their form."""

from amaranth import Module, Mux, Signal


def select_late(choice, one, zero):
    """``one`` where the bit ``choice`` is set, otherwise ``zero``, written as ands and ors.

    What a register takes through a multiplexer becomes its clock enable or its reset. For a
    ``choice`` that comes late that is a longer way: an enable that takes part in a reset, and any
    enable that has to be inverted or combined, passes one gate more.
    """
    mask = choice.replicate(len(one))
    return (mask & one) | (~mask & zero)


def select_word(m: Module, words, index, name: str):
    """Word ``index`` of ``words``, which has a power of two of them.

    Parameters
    ----------
    m : Module
    words : value
        The words, one behind the other; word i is at ``[i*w +: w]``.
    index : value
        As many bits as it takes.
    name : str
        Begins the names of the signals between the levels.
    """
    value = words
    for bit in reversed(range(len(index))):
        half = Signal(len(value) // 2, name=f"{name}_{1 << bit}")
        m.d.comb += half.eq(Mux(index[bit], value[len(value) // 2:], value[:len(value) // 2]))
        value = half
    return value
