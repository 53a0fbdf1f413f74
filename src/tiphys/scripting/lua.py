"""Runs one Lua health script on one object, with nothing in its reach but the object and harmless functions.

Lua 5.2 is the dialect closest to the one such scripts are written for: all numbers are doubles, `goto` is known. What 5.1
has besides (`unpack`, `table.getn`, `table.maxn`) is added. No two scripts share a runtime, and every evaluation has an
environment of its own.

Source: compat 4.3; dependencies 4.
Differs: with open libraries there are `string`, `math`, more of `table` and `os.clock`, but neither `io` nor `debug` nor
coroutines, because a health check has no use for files, and a script must not be able to remove its own limit of time.
"""

from __future__ import annotations

from typing import Any

from lupa.lua52 import LuaError, LuaMemoryError, LuaRuntime

from tiphys.scripting.protocol import LUA_MEMORY_BYTES, SCRIPT_LIMIT_S, TOO_SLOW, HealthAnswer

# Gives a function (text, obj, open, limit) -> what, status, message. It keeps the only references to what is dangerous.
_RUNNER = """
local load, pcall, type, next, error, setmetatable = load, pcall, type, next, error, setmetatable
local sethook, set_type_metatable, clock = debug.sethook, debug.setmetatable, os.clock
local lower, unpack = string.lower, table.unpack
local time, date, difftime = os.time, os.date, os.difftime
local base = {assert=assert, error=error, getmetatable=getmetatable, ipairs=ipairs, next=next, pairs=pairs, pcall=pcall,
  rawequal=rawequal, rawget=rawget, rawset=rawset, select=select, setmetatable=setmetatable, tonumber=tonumber,
  tostring=tostring, type=type, unpack=unpack, xpcall=xpcall}
local tables = {concat=table.concat, insert=table.insert, remove=table.remove, sort=table.sort}
local strings = {byte=string.byte, char=string.char, find=string.find, format=string.format, gmatch=string.gmatch,
  gsub=string.gsub, len=string.len, lower=string.lower, match=string.match, rep=string.rep, reverse=string.reverse,
  sub=string.sub, upper=string.upper, gfind=string.gmatch}
local maths = math
local rawget, rawset = rawget, rawset

-- Lua 5.1 knows no finalizers of tables; they would run when no limit of time is set any more.
base.setmetatable = function(t, metatable)
  local gc = type(metatable) == "table" and rawget(metatable, "__gc")
  if not gc then return setmetatable(t, metatable) end
  rawset(metatable, "__gc", nil)
  setmetatable(t, metatable)
  rawset(metatable, "__gc", gc)
  return t
end

local function copy(from)
  local to = {}
  for key, value in next, from do to[key] = value end
  return to
end

local function environment(obj, open)
  local env = copy(base)
  env._G, env._VERSION, env.obj = env, "Lua 5.1", obj
  env.print = function() end
  env.table = copy(tables)
  env.table.getn = function(t) return #t end
  env.table.maxn = function(t)
    local most = 0
    for key in next, t do
      if type(key) == "number" and key > most then most = key end
    end
    return most
  end
  env.os = {time=time, date=date}
  local loaded = {table=env.table, os=env.os}
  if open then
    env.string, env.math = copy(strings), copy(maths)
    env.os.clock, env.os.difftime = clock, difftime
    loaded.string, loaded.math = env.string, env.math
    set_type_metatable("", {__index=copy(strings), __metatable=false})
  else
    set_type_metatable("", nil)
  end
  env.package = {loaded=loaded}
  env.require = function(name)
    local found = loaded[name]
    if found == nil then error("module " .. tostring(name) .. " not found", 2) end
    return found
  end
  return env
end

local function member(result, name)
  local found = result[name]
  if found ~= nil then return found end
  for key, value in next, result do
    if type(key) == "string" and lower(key) == name then return value end
  end
end

return function(text, obj, open, limit, too_slow)
  local body, problem = load(text, "@<string>", "t", environment(obj, open))
  if not body then return "problem", problem end
  local deadline = clock() + limit
  local function stop()
    if clock() > deadline then
      sethook(stop, "", 1)  -- from now on at every step, so that no pcall of the script gets by
      error(too_slow, 0)
    end
  end
  sethook(stop, "", 1000)
  local fine, result = pcall(body)
  sethook()
  if clock() > deadline then return "problem", too_slow end
  if not fine then
    if type(result) ~= "string" and type(result) ~= "number" then result = "(error object is a " .. type(result) .. " value)" end
    return "problem", result
  end
  if type(result) ~= "table" then return type(result) end
  setmetatable(result, nil)
  local first = next(result)
  if first == nil or type(first) == "number" then return "nil" end
  local status, message = member(result, "status"), member(result, "message")
  return "table", type(status), status, type(message), message
end
"""
_GO_TYPES = {"number": "number", "boolean": "bool", "table": "object"}


def _refuse(_obj: object, _name: object, _setting: object) -> str:
    raise AttributeError("not reachable")


class Runner:
    """A Lua runtime for one script, which may look at many objects with it; whatever it does there, it does to itself."""

    def __init__(self) -> None:
        self._runtime: Any = LuaRuntime(
            register_eval=False,
            register_builtins=False,
            attribute_filter=_refuse,
            unpack_returned_tuples=True,
            max_memory=LUA_MEMORY_BYTES,
        )
        self._run: Any = self._runtime.execute(_RUNNER)

    def run(self, script: str, open_libs: bool, obj: Any) -> Any:
        """What the script returned, taken apart. Raises LuaError."""
        table = self._runtime.table_from(_without_nulls(obj), recursive=True)
        return self._run(script, table, open_libs, SCRIPT_LIMIT_S, TOO_SLOW)


def evaluate(script: str, open_libs: bool, obj: Any, runner: Runner | None = None) -> HealthAnswer:
    """What the script says of the parsed object.

    A table that is empty or a list counts as no answer at all, as nil does: status and message are empty. One without a
    status has `-` for one, which is no health word. After an answer with a problem the runner is not to be used again.
    """
    try:
        found = (runner or Runner()).run(script, open_libs, obj)
    except LuaMemoryError:
        return HealthAnswer(problem="not enough memory")
    except LuaError as error:
        return HealthAnswer(problem=str(error).split("\n", 1)[0])
    except UnicodeError:
        return HealthAnswer(problem="Lua script gave text that is not UTF-8")
    kind, *rest = found if isinstance(found, tuple) else (found,)
    if kind == "problem":
        return HealthAnswer(problem=_text(rest[0]))
    if kind == "nil":
        return HealthAnswer()
    if kind != "table":
        return HealthAnswer(problem=f"expect table output from Lua script, not {kind}")
    status_type, status, message_type, message = rest
    for name, kind, value in (("status", status_type, status), ("message", message_type, message)):
        if kind not in ("string", "nil"):
            word = "array" if kind == "table" and not list(value.keys()) else _GO_TYPES.get(kind, kind)
            return HealthAnswer(
                problem=f"json: cannot unmarshal {word} into Go struct field HealthStatus.{name} of type string"
            )
    return HealthAnswer(status=_text(status) or "-", message=_text(message))


def _text(value: Any) -> str:
    return "" if value is None else str(value)


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_without_nulls(item) for item in value if item is not None]
    return value
