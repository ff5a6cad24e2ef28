"""The command ``bitx``, which the wheel installs."""

import signal
import sys

from bitx import _native


def main() -> None:
    """Runs the command line with the arguments of the process."""
    # Python would only note an interrupt while the command runs; the command ends at once.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    sys.exit(_native.command(["bitx", *sys.argv[1:]]))
