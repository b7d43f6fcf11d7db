"""What the link runs over: a serial port."""

import time
from typing import Any, Protocol

from systolith.sim.simulators.errors import ToolError


class Port(Protocol):
    """Bytes out and in, and a clock that tells how long to wait for them."""

    name: str

    def write(self, octets: bytes) -> None: ...

    def read(self, seconds: float) -> bytes:
        """What has arrived; waits for the first byte, at most so long."""

    def clock(self) -> float:
        """Seconds."""

    def close(self) -> None: ...


class SerialPort:
    """A serial port of the system.

    Raises
    ------
    ToolError
        If it is not there, cannot be used, or goes away.
    """

    def __init__(self, name: str, baud: int):
        try:
            import serial
        except ModuleNotFoundError:
            raise ToolError("pyserial", "not installed", install="pip install pyserial") from None
        self.name = name
        self._failure: Any = (serial.SerialException, OSError)
        try:
            self._serial = serial.Serial(name, baud, timeout=0, exclusive=True)
        except (*self._failure, ValueError) as error:
            raise ToolError("serial port", f"{name} cannot be opened ({_reason(error)}); is the "
                                           "board plugged in?") from None

    def write(self, octets: bytes) -> None:
        try:
            self._serial.write(octets)
        except self._failure as error:
            raise self._gone(error) from None

    def read(self, seconds: float) -> bytes:
        try:
            self._serial.timeout = seconds
            first = self._serial.read(1)
            return first + self._serial.read(self._serial.in_waiting) if first else b""
        except self._failure as error:
            raise self._gone(error) from None

    def clock(self) -> float:
        return time.monotonic()

    def close(self) -> None:
        self._serial.close()

    def _gone(self, error: Exception) -> ToolError:
        return ToolError("serial port", f"{self.name} went away ({_reason(error)})")


def _reason(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error)
