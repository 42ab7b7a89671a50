"""Makes the manual page and the completions while the wheel is built, so that none can be stale."""

from __future__ import annotations

import os
import sys
import tempfile
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class SharedData(BuildHookInterface[Any]):
    """Adds them to the folder ``share`` of the prefix that the wheel is installed into."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Called before a wheel is built, also the one of an editable install."""
        sys.path[:0] = [self.root, os.path.join(self.root, ".packaging")]
        from shared_data import shared_data

        self.folder = tempfile.TemporaryDirectory()
        for path, text in shared_data().items():
            file = os.path.join(self.folder.name, os.path.basename(path))
            with open(file, "w") as written:
                written.write(text)
            build_data["shared_data"][file] = path

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Called when it has been built."""
        self.folder.cleanup()
