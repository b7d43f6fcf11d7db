"""Names that are safe in Verilog, in file names and in C and SystemRDL identifiers."""

import re
import unicodedata

from systolith.hdl.errors import Error

MAX_NAME_LENGTH = 64

#: Reserved words of Verilog-2005 and SystemVerilog-2017.
KEYWORDS = frozenset("""
    accept_on alias always always_comb always_ff always_latch and assert assign assume automatic
    before begin bind bins binsof bit break buf bufif0 bufif1 byte case casex casez cell chandle
    checker class clocking cmos config const constraint context continue cover covergroup coverpoint
    cross deassign default defparam design disable dist do edge else end endcase endchecker endclass
    endclocking endconfig endfunction endgenerate endgroup endinterface endmodule endpackage
    endprimitive endprogram endproperty endsequence endspecify endtable endtask enum event
    eventually expect export extends extern final first_match for force foreach forever fork
    forkjoin function generate genvar global highz0 highz1 if iff ifnone ignore_bins illegal_bins
    implements implies import incdir include initial inout input inside instance int integer
    interconnect interface intersect join join_any join_none large let liblist library local
    localparam logic longint macromodule matches medium modport module nand negedge nettype new
    nexttime nmos nor noshowcancelled not notif0 notif1 null or output package packed parameter pmos
    posedge primitive priority program property protected pull0 pull1 pulldown pullup
    pulsestyle_ondetect pulsestyle_onevent pure rand randc randcase randsequence rcmos real realtime
    ref reg reject_on release repeat restrict return rnmos rpmos rtran rtranif0 rtranif1 s_always
    s_eventually s_nexttime s_until s_until_with scalared sequence shortint shortreal showcancelled
    signed small soft solve specify specparam static string strong strong0 strong1 struct super
    supply0 supply1 sync_accept_on sync_reject_on table tagged task this throughout time
    timeprecision timeunit tran tranif0 tranif1 tri tri0 tri1 triand trior trireg type typedef union
    unique unique0 unsigned until until_with untyped use uwire var vectored virtual void wait
    wait_order wand weak weak0 weak1 while wildcard wire with within wor xnor xor
    """.split())    # noqa: SIM905

#: Reserved words of SystemRDL 2.0.
RDL_KEYWORDS = frozenset("""
    abstract accesstype addressingtype addrmap alias all alternate bit boolean bothedge byte compact
    component componentwidth constraint default encode enum external false field fullalign hw inside
    int internal level longint mem na negedge nonsticky number onreadtype onwritetype posedge
    precedencetype property r rclr real ref reg regalign regfile rset ruser rw rw1 shortint
    shortreal signal signed string struct sw this true type unsigned w w1 wclr with within woclr
    woset wot wr wset wuser wzc wzs wzt
    """.split())    # noqa: SIM905

_PLAIN = str.maketrans({"…": "...", "×": "x", "·": "*", "−": "-", "–": "-", "—": "-", "≤": "<=",
                        "≥": ">=", "Σ": "sum", "’": "'", "“": '"', "”": '"', "∞": "infinity",
                        "⌈": "ceil(", "⌉": ")"})


def check_name(name: object) -> str:
    """Return ``name`` if a core can be called that.

    Raises
    ------
    Error
        If it is not a Verilog identifier of at most 64 ASCII letters, digits and underscores, or is
        a keyword.
    """
    rule = (f"a letter or underscore, then letters, digits and underscores, {MAX_NAME_LENGTH} "
            "characters at most")
    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
        text = repr(name)
        raise Error(f"a core cannot be called {text if len(text) <= 80 else text[:77] + '...'}; "
                    f"a name is {rule}")
    if len(name) > MAX_NAME_LENGTH:
        raise Error(f"the name {name[:20]}... has {len(name)} characters; a name is {rule}")
    if name in KEYWORDS:
        raise Error(f"a core cannot be called {name!r}, which is a keyword of Verilog or "
                    "SystemVerilog")
    return name


def ascii_text(text: str) -> str:
    """``text`` on one line in ASCII, for comments that every tool must read."""
    plain = unicodedata.normalize("NFKD", text.translate(_PLAIN)).encode("ascii", "ignore").decode()
    return " ".join(plain.split())
