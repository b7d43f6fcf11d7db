"""What is proven, at which sizes."""

from functools import partial

from systolith.proofs import arithmetic, buses
from systolith.proofs.proof import Proof

PROOFS: tuple[Proof, ...] = (
    Proof("RegisterSlice", "3 bits and last", partial(buses.register_slice, data=3), (
        ("read_odd ^ pop", "read_odd ^ o_valid"),
        ("(i_ready & (~push))", "i_ready"),
        ("push | (o_valid & (~(pop & i_ready)))", "push | (o_valid & (~pop))"),
        ("(i_ready ? i_last : held)", "i_last"))),
    Proof("RegisterSlice", "2 bits, last and 2 bits of user",
          partial(buses.register_slice, data=2, user=2), (
              ("i_ready ? {i_user, i_last} : held", "{i_user, i_last}"),)),
    Proof("Fifo", "2 places", partial(buses.fifo, depth=2, data=2), (
        ("write_en = i_valid;", "write_en = i_valid & o_ready;"),
        ("(o_ready | (~o_valid));", "1'b1;"))),
    Proof("Fifo", "3 places", partial(buses.fifo, depth=3, data=2), (
        ("(read_pointer == 2'd2)", "(read_pointer == 2'd3)"),)),
    Proof("Fifo", "5 places", partial(buses.fifo, depth=5, data=2), (
        ("stored_fallen <= fetch;", "stored_fallen <= o_ready;"),), nightly=True),
    Proof("Credits", "4 places by 2", partial(buses.credits, places=4, amount=2), (
        ("left_fallen ? (left_risen ? 3'd7 : 3'd6)", "left_fallen ? (left_risen ? 3'd6 : 3'd6)"),
        ("left_fallen <= reserve;", "left_fallen <= 1'b0;"))),
    Proof("Credits", "3 places by 3", partial(buses.credits, places=3, amount=3), (
        ("left <= 2'd3;", "left <= 2'd2;"),)),
    Proof("Credits", "7 places by 1", partial(buses.credits, places=7, amount=1), (
        ("left <= 3'd7;", "left <= 3'd6;"),)),
    Proof("EventCounter", "words of 2 bits", partial(buses.event_counter, word=2), (
        ("happened & will_be_full;", "happened & full;"),
        ("word_1_0 + {1'd0, count_1}", "word_1_0"))),
    Proof("EventCounter", "words of 3 bits", partial(buses.event_counter, word=3), (
        ("count_0 ? ((word_0_0 == 3'd5)", "count_0 ? ((word_0_0 == 3'd6)"),)),
    Proof("Delay", "2 bits by 3", partial(buses.delay, width=2, depth=3, reset=False), (
        ("o = line[5:4];", "o = line[4:3];"),)),
    Proof("Delay", "1 bit by 2, with reset", partial(buses.delay, width=1, depth=2, reset=True), (
        ("line <= 2'd0;", "line <= 2'd1;"),)),
    Proof("BlockMemory", "4 words of 2 bits", partial(buses.block_memory, width=2, depth=4), (
        ("words[write_addr]", "words[signature_addr]"),)),
    Proof("TileRows", "3 rows, 2 cycles", partial(buses.tile_rows, rows=3, latency=2), (
        ("(row == 2'd2)", "(row == 2'd1)"),)),
    Proof("TileRows", "1 row, 1 cycle", partial(buses.tile_rows, rows=1, latency=1), (
        ("line <= i;", "line <= 1'b0;"),)),
    Proof("PairedFrames", "3 rows, up to 3 words",
          partial(buses.paired_frames, rows=3, max_words=3), (
              ("draining <= 2'd2;", "draining <= 2'd1;"),
              ("in_frame <= ~finish;", "in_frame <= 1'b1;"))),
    Proof("PairedFrames", "1 row, up to 4 words",
          partial(buses.paired_frames, rows=1, max_words=4), (
              ("a_dropping <= 1'b1;", "a_dropping <= 1'b0;"),)),
    Proof("InputBuffer", "8 bytes, beats of 16 bits",
          partial(buses.input_buffer, size=8, data=16), (
              # As it was: a byte on its way when everything is forgotten still counts.
              ("(~o_tvalid) & (~clear)", "(~o_tvalid)"),)),
    Proof("OutputBuffer", "8 bytes, beats of 8 bits",
          partial(buses.output_buffer, size=8, data=8), (
              ("due = waiting != 4'd0;", "due = waiting > 4'd1;"),), nightly=True),
    Proof("RegisterBank", "a register of every kind", buses.register_bank, (
        ("bus_bvalid <= 1'b1;", "bus_bvalid <= bus_bready;"),
        ("errors_second_sticky & (~errors_second_cleared)", "errors_second_sticky"),
        ("bus_rresp <= known ? 2'd0 : 2'd2;", "bus_rresp <= 2'd0;"),
        ("taken_0 | taken_1", "taken_0"),
        ("read_decoded & (~read_taken)", "read_decoded"))),
    *arithmetic.PROOFS,
)
