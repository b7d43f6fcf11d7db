"""Loading a bitstream into a board."""

from pathlib import Path

from systolith.fpga import toolchain
from systolith.fpga.boards import Board
from systolith.hdl.errors import Error


def program(bitstream: Path, board: Board, *, flash: bool = False) -> None:
    """Load ``bitstream`` into the device, or into the flash of the board.

    Raises
    ------
    Error
        If there is no such file.
    ToolError
        If openFPGALoader is missing or fails.
    """
    if not bitstream.is_file():
        raise Error(f"{bitstream} is not a file")
    place = ["--write-flash"] if flash else []
    toolchain.LOADER.run([*board.loader, *place, bitstream.absolute()], Path())
