"""Settings of the families' PLLs for a frequency, and the Verilog that instantiates them."""

from systolith.hdl.errors import ConfigError

TOLERANCE = 0.01             # of the frequency that was asked for


def instance(family: str, cell: str, reference: float, wanted: float) -> tuple[str, float]:
    """Verilog that makes ``clk`` and ``locked`` from ``pin_clk``, and the frequency it gives.

    Parameters
    ----------
    family : str
        As in :mod:`systolith.fpga.devices`.
    cell : str
        The PLL: there are two kinds on iCE40, of which one sits at a pad.
    reference, wanted : float
        MHz.

    Raises
    ------
    ConfigError
        If no setting comes within :data:`TOLERANCE`.
    """
    if wanted == reference:
        return "  wire clk = pin_clk;\n  wire locked = 1'b1;\n", reference
    found = min(_SETTINGS[family](reference, wanted), default=None,
                key=lambda setting: abs(setting[0] - wanted))
    if found is None or abs(found[0] / wanted - 1) > TOLERANCE:
        near = f"; the nearest is {found[0]:g} MHz" if found else ""
        raise ConfigError(f"the PLL cannot make {wanted:g} MHz of {reference:g} MHz{near}")
    actual, parameters = found
    ports = _PORTS[cell]
    assigned = ",\n".join(f"    .{name}({value})" for name, value in parameters.items())
    connected = ",\n".join(f"    .{name}({value})" for name, value in ports.items())
    return (f"  wire clk, locked;\n  {cell} #(\n{assigned}\n  ) u_pll (\n{connected}\n  );\n",
            actual)


_ICE40 = {"PLLOUTGLOBAL": "clk", "LOCK": "locked", "RESETB": "1'b1", "BYPASS": "1'b0"}
_PORTS = {
    "SB_PLL40_PAD": {"PACKAGEPIN": "pin_clk", **_ICE40},
    "SB_PLL40_CORE": {"REFERENCECLK": "pin_clk", **_ICE40},
    "EHXPLLL": {"CLKI": "pin_clk", "CLKFB": "clk", "CLKOP": "clk", "LOCK": "locked",
                **dict.fromkeys(("RST", "STDBY", "PHASESEL0", "PHASESEL1", "PHASEDIR", "PHASESTEP",
                                 "PHASELOADREG", "PLLWAKESYNC", "ENCLKOP"), "1'b0")},
    "rPLL": {"CLKIN": "pin_clk", "CLKOUT": "clk", "LOCK": "locked", "CLKFB": "1'b0",
             "RESET": "1'b0", "RESET_P": "1'b0", "FBDSEL": "6'b0", "IDSEL": "6'b0",
             "ODSEL": "6'b0", "DUTYDA": "4'b0", "PSDA": "4'b0", "FDLY": "4'b0"},
    "CC_PLL": {"CLK_REF": "pin_clk", "CLK0": "clk", "USR_PLL_LOCKED": "locked",
               "CLK_FEEDBACK": "1'b0", "USR_CLK_REF": "1'b0", "USR_LOCKED_STDY_RST": "1'b0"},
}


def _ice40(reference: float, wanted: float):
    """Lattice FPGA-TN-02052: detector 10 to 133 MHz, oscillator 533 to 1066 MHz."""
    for divr in range(16):
        detector = reference / (divr + 1)
        if not 10 <= detector <= 133:
            continue
        filters = sum(detector >= bound for bound in (17, 26, 44, 66, 101)) + 1
        for divf in range(128):
            oscillator = detector * (divf + 1)
            if 533 <= oscillator <= 1066:
                for divq in range(1, 7):
                    yield oscillator / 2**divq, {
                        "FEEDBACK_PATH": '"SIMPLE"', "DIVR": f"4'd{divr}", "DIVF": f"7'd{divf}",
                        "DIVQ": f"3'd{divq}", "FILTER_RANGE": f"3'd{filters}"}


def _ecp5(reference: float, wanted: float):
    """Lattice FPGA-TN-02200: detector at least 8 MHz, oscillator 400 to 800 MHz."""
    for divide in range(1, int(reference // 8) + 1):
        for feedback in range(1, 81):
            output = reference / divide * feedback
            oscillator = max(1, min(128, round(600 / output)))
            if 400 <= output * oscillator <= 800:
                yield output, {
                    "CLKI_DIV": divide, "CLKFB_DIV": feedback, "CLKOP_DIV": oscillator,
                    "CLKOP_CPHASE": oscillator // 2, "CLKOP_FPHASE": 0, "FEEDBK_PATH": '"CLKOP"',
                    "CLKOP_ENABLE": '"ENABLED"', "PLLRST_ENA": '"DISABLED"',
                    "INTFB_WAKE": '"DISABLED"', "STDBY_ENABLE": '"DISABLED"',
                    "DPHASE_SOURCE": '"DISABLED"', "OUTDIVIDER_MUXA": '"DIVA"'}


def _gowin(reference: float, wanted: float):
    """Gowin UG286: detector at least 3 MHz, oscillator 500 to 1200 MHz suits all devices here."""
    for divide in range(1, int(reference // 3) + 1):
        for feedback in range(1, 65):
            output = reference / divide * feedback
            for after in (2, 4, 8, 16, 32, 48, 64, 80, 96, 112, 128):
                if 500 <= output * after <= 1200:
                    yield output, {"FCLKIN": f'"{reference:g}"', "IDIV_SEL": divide - 1,
                                   "FBDIV_SEL": feedback - 1, "ODIV_SEL": after}


def _gatemate(reference: float, wanted: float):
    """The packer finds the settings itself."""
    if 5 <= wanted <= 250:
        yield wanted, {"REF_CLK": f'"{reference:.1f}"', "OUT_CLK": f'"{wanted:.1f}"',
                       "PERF_MD": '"ECONOMY"', "LOW_JITTER": 1, "CI_FILTER_CONST": 2,
                       "CP_FILTER_CONST": 4}


_SETTINGS = {"ice40": _ice40, "ecp5": _ecp5, "gowin": _gowin, "gatemate": _gatemate}
