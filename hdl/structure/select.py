"""Selection of a word among many, written level by level."""

from amaranth import Module, Mux, Signal


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
