"""Forms and limits that the renderer and its workers agree on."""

from __future__ import annotations

import sys

WORKER_ARGV = (sys.executable, "-I", "-m", "tiphys.engine.render.worker")

TOOL_WORKER_ARGV = (sys.executable, "-I", "-m", "tiphys.engine.render.toolworker")
# The Helm SDK is a Go library: it collects garbage when there is four times what is in use instead of twice, which takes a
# third off a render with many calls of `tpl`, as long as that is not much.
TOOL_WORKER_ENV = {"GOGC": "400", "GOMEMLIMIT": "256MiB"}

HELM_TOOL = "Helm"  # here, so that a worker need not import what else there is to a source

YAML_FORM = "yaml"
JSON_FORM = "json"
TOOL_FORM = "tool"  # YAML that a tool gave: every document is an object, nothing is passed over
VALUE_FORM = "value"  # one YAML document of any kind, taken as a value and not as a manifest
MAX_OBJECTS = 50_000  # of one file, and of one source
MAX_OUTPUT_BYTES = 64 * 1024 * 1024  # JSON of one reply
