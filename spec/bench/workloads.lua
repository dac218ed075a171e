-- The workloads: what is measured, by which sides, and what is wanted.
--
-- To add one: write it in luamp.lua (and in peer.py and floor/ if they are to
-- be compared), under one name, and give it a line here.
--
--   sides  who runs it (see `sides` below); the first is ours
--   run    sides of this workload alone: name -> command
--   unit   "/s" unless said; `less = true`: a smaller value is better
--   goals  what has been promised, aims  what to reach some day:
--          a side's name -> the factor by which to beat it (0.8: come near),
--          `least` or `most` -> a value for this machine
--   slow   takes seconds whatever the scale: not in the quick run
--   bound  why a goal or aim is out of reach, for the README's table
--   group  what it is about; set by `group` for all that follow

local workloads = {}

-- BUILD, PYTHON, NAME, SCALE and HEAP (the KiB of a Lua state with mp) are
-- filled in.
local LUA = "LUA_PATH='lua/?.lua;lua/?/init.lua;;' LUA_CPATH='BUILD/lib/?.so;;'"
  .. " lua5.4 "
local FLOOR = "BENCH_HEAP_KIB=HEAP BUILD/bench/floor "

workloads.sides = {
  luamp = "BUILD/bin/luamp spec/bench/luamp.lua NAME SCALE",
  lua = LUA .. "spec/bench/luamp.lua NAME SCALE",
  python = "PYTHON spec/bench/peer.py NAME SCALE",
  floor = FLOOR .. "NAME SCALE",
  -- other ways to do it
  marshal = "PYTHON spec/bench/peer.py NAME_marshal SCALE",
  cjson = LUA .. "spec/bench/peer.lua NAME_cjson SCALE",
  mpack = "lua5.1 spec/bench/peer.lua NAME_mpack SCALE",
  messagepack = "LUA_PATH='/usr/share/lua/5.3/?.lua;;' "
    .. "lua5.4 spec/bench/peer.lua NAME_messagepack SCALE",
  node = "node spec/bench/peer.js NAME SCALE",
  erlang = "escript spec/bench/peer.erl NAME SCALE",
  pipes = FLOOR .. "NAME_pipes SCALE",
  calls = FLOOR .. "NAME_calls SCALE",
  bare = FLOOR .. "NAME_bare SCALE",
}

-- What must be installed for a side; without it the bench does without.
workloads.programs = {
  lua = "lua5.4", python = "python3", marshal = "python3", cjson = "lua5.4",
  mpack = "lua5.1", messagepack = "lua5.4", node = "node", erlang = "escript",
}

local about

local function group(name) about = name end

local function add(w)
  w.group = about
  w.sides = w.sides or "luamp python floor"
  w.unit = w.unit or "/s"
  workloads[#workloads + 1] = w
end

-- start+join of an empty function --------------------------------------------

group "starting"
add{name = "start_join_fork", sides = "luamp lua python floor",
  goals = {floor = 0.8}, aims = {floor = 0.85}}
add{name = "start_join_spawn", sides = "luamp lua python floor",
  goals = {floor = 0.8}, aims = {floor = 0.85}}
add{name = "start_join_forkserver", sides = "luamp lua python floor",
  goals = {least = 2500, python = 50}, aims = {least = 3000}}
add{name = "start_join_thread", sides = "luamp lua floor erlang",
  aims = {floor = 0.85}}

-- The same from a parent of 1 GiB; `small` is the same run without it.
local function bigparent(method, goals)
  add{name = "start_join_" .. method .. "_bigparent", goals = goals,
    slow = true, sides = "luamp small python floor",
    run = {
      small = "BUILD/bin/luamp spec/bench/luamp.lua start_join_" .. method
        .. " SCALE",
    }}
end

bigparent("spawn", {small = 0.9})
bigparent("forkserver", {small = 0.9})
bigparent("fork")

-- pipes ----------------------------------------------------------------------

group "pipes and sockets"
add{name = "pipe_pingpong",
  sides = "luamp lua python floor pipes node erlang",
  goals = {python = 5}, aims = {least = 1e6}}
add{name = "pipe_throughput_small",
  sides = "luamp python floor pipes erlang",
  aims = {least = 2e6}}
add{name = "pipe_throughput_int", sides = "luamp python floor pipes"}
add{name = "pipe_throughput_1m", unit = "MiB/s", aims = {least = 5000}}
add{name = "pipe_throughput_1m_obj", unit = "MiB/s", aims = {least = 5000}}

-- sockets --------------------------------------------------------------------

add{name = "tcp_pingpong", goals = {python = 1, floor = 0.77}}

-- managers -------------------------------------------------------------------

group "managers"
add{name = "manager_dict_get", sides = "luamp python", goals = {python = 3},
  aims = {least = 150e3}}
add{name = "manager_dict_set", sides = "luamp python", goals = {python = 3},
  aims = {least = 150e3}}
add{name = "manager_start", unit = "us", less = true, sides = "luamp python",
  goals = {python = 5}}

-- encode and decode ----------------------------------------------------------

group "encode and decode"
local codecs = "luamp lua python floor marshal cjson mpack messagepack "
  .. "node erlang"
add{name = "serialize_record", sides = codecs,
  goals = {python = 1, cjson = 1, mpack = 1, messagepack = 1},
  aims = {least = 1.6e6}}
add{name = "serialize_nested10k", sides = codecs, aims = {least = 60}}
add{name = "serialize_floats1e6", sides = codecs, aims = {least = 22}}
add{name = "serialize_ints1e6", sides = codecs, aims = {least = 24}}
add{name = "serialize_strings1e5", sides = codecs, aims = {least = 34}}

-- what it costs to be there --------------------------------------------------

group "being there"
add{name = "memory_fork", unit = "KiB", less = true, goals = {most = 150},
  aims = {most = 100}}
add{name = "memory_spawn", unit = "KiB", less = true, goals = {most = 900},
  aims = {most = 800}}
add{name = "memory_forkserver", unit = "KiB", less = true}
add{name = "memory_thread", unit = "KiB", less = true, sides = "luamp floor"}

-- A whole program, and what `require` adds to one.
local US_OF = "BUILD/bench/floor us_of SCALE "
add{name = "run_empty", unit = "us", less = true, goals = {floor = 0.87},
  run = {
    luamp = US_OF .. "BUILD/bin/luamp -e ''",
    python = US_OF .. "PYTHON -c ''",
    floor = US_OF .. "lua5.4 -e ''",
  }}
add{name = "require_mp", unit = "us", less = true, sides = "luamp lua python",
  goals = {most = 300},
  run = {
    luamp = US_OF .. "BUILD/bin/luamp -e 'require \"mp\"' "
      .. "-- BUILD/bin/luamp -e ''",
    lua = LUA:gsub("lua5.4 $", "") .. US_OF .. "lua5.4 -e 'require \"mp\"' "
      .. "-- lua5.4 -e ''",
    python = US_OF .. "PYTHON -c 'import multiprocessing' -- PYTHON -c ''",
  }}

-- queues ---------------------------------------------------------------------

group "queues"
add{name = "queue_1p1c_int", sides = "luamp python floor erlang",
  goals = {python = 8}, aims = {least = 4e6}}
add{name = "queue_1p1c_rec", sides = "luamp python floor erlang",
  goals = {least = 1.2e6, python = 8},
  aims = {least = 2e6}}
add{name = "queue_2p2c_rec", goals = {python = 5}, aims = {least = 1.7e6}}
add{name = "queue_4p1c_rec", sides = "luamp python floor erlang",
  goals = {python = 5}, aims = {least = 1.5e6}}
add{name = "queue_64k", unit = "MiB/s", goals = {floor = 0.6},
  aims = {least = 5000}}
add{name = "queue_pingpong"}
for _, kind in ipairs{"1p1c_int", "1p1c_rec", "2p2c_rec", "4p1c_rec"} do
  add{name = "simplequeue_" .. kind, goals = {python = 5},
    run = {floor = FLOOR .. "queue_" .. kind .. " SCALE"}}
end

-- locks and signals ----------------------------------------------------------

group "locks and signals"
add{name = "lock_uncontended", sides = "luamp lua python floor calls bare node",
  goals = {calls = 0.8}, aims = {calls = 1}}
add{name = "rlock_uncontended", sides = "luamp python"}
add{name = "semaphore_uncontended"}
add{name = "lock_contended_2", sides = "luamp python floor node",
  goals = {python = 1}, aims = {least = 6e6}}
add{name = "semaphore_pingpong", goals = {python = 2}}
add{name = "condition_pingpong", goals = {python = 2}}
add{name = "event_pingpong", goals = {python = 2}, aims = {python = 10}}
add{name = "barrier_2", aims = {least = 150e3}}

-- shared values --------------------------------------------------------------

group "shared values"
add{name = "value_increment"}
add{name = "value_increment_1"}
add{name = "value_add", sides = "luamp floor calls node erlang",
  goals = {least = 5e6}, aims = {least = 6e6}}
add{name = "array_fill_elem", sides = "luamp python floor node",
  aims = {least = 8e6}}
add{name = "array_fill_elem_raw", sides = "luamp python"}
add{name = "array_fill_bulk", sides = "luamp python floor node",
  goals = {least = 20e6}, aims = {least = 60e6}}
add{name = "array_fill_bulk_buf"}
add{name = "array_slice", sides = "luamp python",
  goals = {least = 20e6}, aims = {least = 60e6}}
-- The C program's block has no memory that is sure to be there.
add{name = "shared_memory", goals = {python = 1}, aims = {least = 70e3}}
add{name = "shared_memory_touched"}
add{name = "shared_memory_copy", unit = "MiB/s"}

-- pools ----------------------------------------------------------------------

group "pools"
for _, method in ipairs{"fork", "spawn", "forkserver", "thread"} do
  add{name = "pool_start_" .. method, unit = "ms", less = true,
    sides = method == "fork" and "luamp python two" or "luamp python",
    run = {two = "BUILD/bin/luamp spec/bench/luamp.lua start_two SCALE"},
    goals = method == "fork" and {two = 0.67, python = 0.2} or {python = 0.2}}
end
add{name = "pool_map_tiny", sides = "luamp python", goals = {python = 1},
  aims = {least = 10e6}}
add{name = "pool_map_tiny_chunk1", sides = "luamp python floor node erlang",
  goals = {python = 10, node = 1}, aims = {least = 1e6}}
add{name = "pool_apply_latency", sides = "luamp python floor erlang",
  run = {floor = FLOOR .. "queue_pingpong SCALE"},
  goals = {python = 10}, aims = {least = 400e3}}
add{name = "executor_submit", sides = "luamp python", goals = {python = 20},
  aims = {least = 400e3}}
add{name = "executor_submit_latency", sides = "luamp python",
  goals = {python = 10}}
add{name = "pool_map_cpu", unit = "x", sides = "luamp python",
  slow = true, goals = {least = 1.85}, aims = {least = 1.95}}
add{name = "pool_map_bytes", unit = "MiB/s", sides = "luamp python",
  goals = {python = 3}, aims = {least = 2000}}
add{name = "idle_pool_cpu", slow = true, unit = "ms", less = true,
  sides = "luamp python", aims = {python = 1}}

return workloads
