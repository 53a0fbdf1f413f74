"""Users' small programs (Lua health checks, jq path expressions), run in confined worker processes."""
