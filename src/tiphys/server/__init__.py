"""The Argo CD HTTP API (ASGI). Resource modules are named as their URL segment."""
