"""Forms and limits that the renderer and its workers agree on."""

from __future__ import annotations

import sys

WORKER_ARGV = (sys.executable, "-I", "-m", "tiphys.engine.render.worker")

YAML_FORM = "yaml"
JSON_FORM = "json"
MAX_OBJECTS = 50_000  # of one file, and of one source
MAX_OUTPUT_BYTES = 64 * 1024 * 1024  # JSON of one reply
