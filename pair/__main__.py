"""`python -m pair run [config.yaml]` and `python -m pair demo`."""

import argparse
import os
import sys
from collections.abc import Sequence

from pair import demo, listening
from pair.run import run
from servicekit.config import find_file
from servicekit.errors import Invalid


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; 2 when the configuration or the machine does not allow it."""
    parser = argparse.ArgumentParser(prog="python -m pair", description="Aerial's two services as one.")
    commands = parser.add_subparsers(dest="command", required=True)
    running = commands.add_parser("run", help="start both services on one configuration")
    running.add_argument("config", nargs="?", help="configuration file (default: AERIAL_CONFIG, else config.yaml here)")
    showing = commands.add_parser("demo", help="show everything with a sample guide and test pictures; keeps nothing")
    showing.add_argument("--host", default="127.0.0.1", help="where the demo listens (0.0.0.0: the whole house)")
    showing.add_argument("--guide-port", type=int, default=8080, help="0: any free one")
    showing.add_argument("--stream-port", type=int, default=8081, help="0: any free one")
    options = parser.parse_args(arguments)
    try:
        if options.command == "demo":
            return demo.demo(options.host, guide_port=options.guide_port, stream_port=options.stream_port)
        return run(listening.read(find_file(options.config, os.environ)))
    except Invalid as fault:
        print(f"aerial: {fault}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    raise SystemExit(main())
