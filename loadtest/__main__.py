"""``./tidemark load``: Locust on our scenarios, the same as ``locust -f loadtest``, wherever it is started.

What it adds is ``--help``: Locust answers that before it has read a locustfile, and leaves our options out.
"""

import sys
from pathlib import Path
from typing import Any

# First of all: importing Locust makes the standard library cooperative.
from locust.argument_parser import get_parser
from locust.main import main as locust_main

from loadtest._locust import adapt
from loadtest._options import EXAMPLES, register


def main() -> None:
    """Run Locust with the arguments of this process."""
    arguments = sys.argv[1:]
    if {"-h", "--help"} & set(arguments):
        parser = get_parser()
        register(parser)
        adapt(parser)
        parser.usage = "./tidemark load [options]"
        parser.description = "Offer load to the API with Locust."
        parser.epilog = EXAMPLES
        parser.print_help()
        return
    sys.argv = ["locust", "-f", str(Path(__file__).parent), *arguments]
    run: Any = locust_main  # it has no types
    run()


if __name__ == "__main__":
    main()
