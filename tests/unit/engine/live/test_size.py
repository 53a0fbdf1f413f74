"""How much memory a live object takes."""

from __future__ import annotations

import tracemalloc

from tiphys.engine.live.index import LiveIndex

OBJECTS = 200


def test_an_object_is_kept_in_little_more_than_its_bytes() -> None:
    index = LiveIndex(changed=lambda _key, _before, _after: None)
    text = "x" * 2000
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for number in range(OBJECTS):
            metadata = {"name": f"c{number}", "namespace": "n", "uid": str(number), "resourceVersion": str(number)}
            index.upsert({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"a": text}})
        each = (tracemalloc.get_traced_memory()[0] - before) / OBJECTS
    finally:
        tracemalloc.stop()
    assert 2000 < each < 4000
