"""Transcripts of watches: what several watchers are told while objects change, on both servers."""
