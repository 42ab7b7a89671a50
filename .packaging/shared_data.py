"""The files that are made from the parser.

Run: .venv/bin/python .packaging/shared_data.py share/man/man1/sockwatch.1 prints one of them.
"""

from __future__ import annotations

import os
import sys

if __name__ == "__main__":
    sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from completions import completion
from manual_page import manual_page


def shared_data() -> dict[str, str]:
    """What each is, by its path below the prefix."""
    return {
        "share/man/man1/sockwatch.1": manual_page(),
        "share/bash-completion/completions/sockwatch": completion("bash"),
        "share/zsh/site-functions/_sockwatch": completion("zsh"),
        "share/fish/vendor_completions.d/sockwatch.fish": completion("fish"),
    }


if __name__ == "__main__":
    sys.stdout.write(shared_data()[sys.argv[1]])
