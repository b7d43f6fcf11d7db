"""Names that are safe in Verilog, in file names and in C and SystemRDL identifiers."""

import re
import unicodedata

from systolith.generators.keywords import KEYWORDS
from systolith.hdl.config import did_you_mean
from systolith.hdl.errors import Error

MAX_NAME_LENGTH = 64

#: Levels of hardening against upsets; :mod:`systolith.generators.verilog.hardening` tells what they
#: do.
HARDENING = ("none", "tmr-registers", "tmr")

#: Reserved words of SystemRDL 2.0.
RDL_KEYWORDS = frozenset("""
    abstract accesstype addressingtype addrmap alias all alternate bit boolean bothedge byte compact
    component componentwidth constraint default encode enum external false field fullalign hw inside
    int internal level longint mem na negedge nonsticky number onreadtype onwritetype posedge
    precedencetype property r rclr real ref reg regalign regfile rset ruser rw rw1 shortint
    shortreal signal signed string struct sw this true type unsigned w w1 wclr with within woclr
    woset wot wr wset wuser wzc wzs wzt
    """.split())

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


def check_hardening(level: object) -> str:
    """Return ``level`` if a core can be hardened like that.

    Raises
    ------
    Error
        If it is not one of :data:`HARDENING`.
    """
    if level not in HARDENING:
        raise Error(f"harden must be {', '.join(HARDENING[:-1])} or {HARDENING[-1]}, not {level!r}"
                    f"{did_you_mean(level, HARDENING) if isinstance(level, str) else ''}")
    return level


def ascii_text(text: str) -> str:
    """``text`` on one line in ASCII, for comments that every tool must read."""
    plain = unicodedata.normalize("NFKD", text.translate(_PLAIN)).encode("ascii", "ignore").decode()
    return " ".join(plain.split())
