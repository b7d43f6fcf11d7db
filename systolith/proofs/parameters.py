"""What is loaded ahead of results against its specification: frames of wrong lengths, too, of which
no result shows every bit."""

from amaranth.hdl import Mux

from systolith.hdl.systolic.requantizers import PARAMETER_BITS, ParameterLoader
from systolith.proofs.harness import Edit, Harness, flow
from systolith.proofs.timing import ago


def parameter_loader(component: ParameterLoader, edit: Edit) -> Harness:
    """Beats enter the chain in their order, each once; missing ones are zeros, those too many are
    dropped, and both are told.

    A frame is followed that the solver picks, and of it one place.
    """
    h, cols = Harness(component, edit), component.cols
    p, q = h.ports, flow(h, "q")
    h.drive("start", h.free(1, "starts") & p.may_start)
    h.drive("swap", ago(h, p.start, component.lead - 2, "start"))

    place = h.constant(range(cols), "place")
    h.assume(place < cols)
    position, dropping = h.register(range(cols), "position"), h.register(1, "dropped")
    beat, end = q.moves & ~dropping, position == cols - 1
    h.step(position, Mux(beat, Mux(end | p.q_last, 0, position + 1), position))
    h.step(dropping, Mux(q.moves, (dropping | end) & ~p.q_last, dropping))
    h.check("a frame that is too short is told", p.too_short == (beat & p.q_last & ~end))
    h.check("a frame that is too long is told", p.too_long == (beat & end & ~p.q_last))

    loads, loaded = p.load[-1], h.register(range(cols), "loaded")
    leaves = loads & (loaded == cols - 1)
    h.step(loaded, Mux(loads, Mux(leaves, 0, loaded + 1), loaded))
    frames = h.register(range(component.depth + 2), "frames")        # inside, wholly or in part
    begins = beat & (position == 0)
    h.step(frames, (frames + begins - leaves)[:len(frames)])
    h.check("no frame is invented or repeated", ~loads | (frames != 0))

    picked, within = h.register(1, "picked"), h.register(1, "within")
    ahead = h.register(len(frames), "ahead")
    takes = h.free(1, "pick") & begins & ~picked
    h.step(picked, picked | takes)
    h.step(ahead, Mux(takes, frames - leaves, ahead - (leaves & (ahead != 0)))[:len(ahead)])
    over = end | p.q_last
    inside = takes | within
    h.step(within, Mux(beat, inside & ~over, within))
    word = h.register(PARAMETER_BITS, "word")
    h.step(word, Mux(beat & inside & (position <= place), Mux(
        position == place, p.q_data[:PARAMETER_BITS], 0), word))
    out = h.register(1, "out")
    h.step(out, out | (picked & (ahead == 0) & leaves))
    mine = picked & ~out & (ahead == 0) & loads & (loaded == place)
    h.check("beats in their order, and zeros for missing ones", ~mine | (p.data == word))
    h.cover("a beat of a frame behind another", mine & (word != 0) & (place != 0))
    return h
