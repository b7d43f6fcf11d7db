"""What is left of a frame that is too long."""

from amaranth import Module, Signal


def drop_rest(m: Module, dropping: Signal, long, ends) -> None:
    """Drive ``dropping``: the rest of a frame is taken and comes to nothing.

    Parameters
    ----------
    dropping : Signal
        A register of one bit.
    long : value
        A beat was used as the last one of its frame, and is not.
    ends : value
        A beat that is the last of its frame is there, which is taken while ``dropping``.
    """
    with m.If(long):
        m.d.sync += dropping.eq(1)
    with m.Elif(ends):
        m.d.sync += dropping.eq(0)
