"""The mesh: rows × cols PEs, its rows and columns wired to their neighbours."""

from amaranth.lib import wiring

from systolith.hdl.structure.linear_array import LinearArray
from systolith.hdl.systolic.config import SystolicConfig
from systolith.hdl.systolic.float_pe import (
    FloatOutputStationaryPE,
    FloatWeightStationaryPE,
    RoundedOutputStationaryPE,
)
from systolith.hdl.systolic.pair_pe import WeightStationaryPairPE
from systolith.hdl.systolic.pe import OutputStationaryPE, WeightStationaryPE


def processing_element(config: SystolicConfig) -> type[wiring.Component]:
    """The kind of PE: of integers where operands are factors alone and sums exact."""
    if config.rounded:
        return FloatWeightStationaryPE if config.dataflow == "ws" else RoundedOutputStationaryPE
    if config.a_operand.has_exponent or config.w_operand.has_exponent:
        return FloatWeightStationaryPE if config.dataflow == "ws" else FloatOutputStationaryPE
    if config.columns_per_pe == 2:
        return WeightStationaryPairPE
    return WeightStationaryPE if config.dataflow == "ws" else OutputStationaryPE


def mesh(config: SystolicConfig) -> LinearArray:
    """Build the mesh of a config.

    Its ports are those of a PE: what runs through a row has a lane per row, what runs through a
    column a lane per column. Chains run from the last row to row 0, from the last column to
    column 0.
    """
    cell = processing_element(config)

    def row() -> LinearArray:
        return LinearArray(lambda: cell(config), config.wavefront_cols, name="pe", module="row",
                           chain=cell.row_chain, from_last=True)

    return LinearArray(row, config.rows, name="row", module="mesh", chain=cell.column_chain,
                       from_last=True)
