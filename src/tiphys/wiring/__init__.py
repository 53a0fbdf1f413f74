"""Composition root: settings in, running services out; the only place that builds I/O objects."""

from tiphys.wiring.api import ListenError as ListenError
from tiphys.wiring.engine import Engine as Engine
from tiphys.wiring.engine import build_engine as build_engine
from tiphys.wiring.options import EngineOptions as EngineOptions
