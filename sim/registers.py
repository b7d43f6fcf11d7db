"""What the register bank of a core at rest answers, by the register map alone."""

from collections.abc import Iterable

from systolith.hdl.interface import Register
from systolith.sim.cases import register_mask, register_reset

OKAY, SLVERR = 0, 2


class RegisterModel:
    """The registers of a core that moves no beat: no counter counts, no flag is raised.

    Parameters
    ----------
    registers : iterable of Register
    """

    def __init__(self, registers: Iterable[Register]):
        self.registers = {register.offset: register for register in registers}
        self.reset()

    def reset(self) -> None:
        """All registers take their reset values."""
        self._values = {offset: register_reset(register)
                        for offset, register in self.registers.items()}

    def read(self, offset: int) -> tuple[int, int]:
        """Response and word at a byte address; the lowest two bits do not matter."""
        register = self.registers.get(offset & ~3)
        if register is None:
            return SLVERR, 0
        return OKAY, 0 if register.access == "wo" else self._values[register.offset]

    def write(self, offset: int, value: int, strobe: int) -> int:
        """Write the bytes of a word that ``strobe`` chooses; returns the response."""
        register = self.registers.get(offset & ~3)
        if register is None:
            return SLVERR
        chosen = sum(0xFF << 8 * byte for byte in range(4) if strobe >> byte & 1)
        before = self._values[register.offset]
        if register.access == "rw":
            after = (before & ~chosen) | (value & chosen)
            self._values[register.offset] = after & register_mask(register)
        elif register.access == "w1c":
            self._values[register.offset] = before & ~(value & chosen)
        return OKAY
