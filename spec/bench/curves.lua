-- The curves: how the cost of a thing grows.  Each point of a series is one
-- run of grow.lua (or grow.py) with the series' name and x.
--
--   title, x, y   what the picture says of the curve and its axes
--   points        the values of x, both axes being logarithmic
--   full          further points, measured with --full
--   series        name -> {side, name for the program, [last x]}

local curves = {}

local SIDES = {
  luamp = "BUILD/bin/luamp spec/bench/grow.lua NAME X",
  python = "PYTHON spec/bench/grow.py NAME X",
}

local function add(curve) curves[#curves + 1] = curve end

local function methods(name)
  return {
    {"fork", "luamp", name .. "_fork"},
    {"spawn", "luamp", name .. "_spawn"},
    {"forkserver", "luamp", name .. "_forkserver"},
  }
end

local start = methods "start"
start[4] = {"Python, fork", "python", "start_fork"}
add{name = "start_of_size", title = "start and join", x = "MiB of parent",
  y = "ms", points = {1, 4, 16, 64, 256, 1024, 4096}, series = start}

add{name = "queue_of_size", title = "queue of strings", x = "bytes each",
  y = "MiB/s",
  points = {8, 64, 512, 4096, 32768, 262144, 2097152, 16777216, 67108864},
  series = {
    {"1 to 1", "luamp", "queue_size"}, {"Python", "python", "queue_size"},
  }}

add{name = "queue_of_processes", title = "queue of records",
  x = "producers", y = "/s", points = {1, 2, 4, 8, 16, 32, 64},
  series = {
    {"as many consumers", "luamp", "queue_many"},
    {"1 consumer", "luamp", "queue_fan_in"},
    {"Python, as many", "python", "queue_many", 16},
  }}

add{name = "pool_of_length", title = "pool of 2", x = "us a task", y = "/s",
  points = {1, 3, 10, 30, 100, 300, 1000, 3000, 10000},
  series = {
    {"map", "luamp", "pool_map"}, {"chunks of 1", "luamp", "pool_chunk1"},
    {"2 CPUs, free of cost", "ideal"},
    {"Python, chunks of 1", "python", "pool_chunk1"},
  }}

add{name = "pool_of_tasks", title = "pool of 2, all tasks queued first",
  x = "tasks", y = "/s", points = {100, 1000, 10000, 100000, 1000000},
  series = {
    {"apply_async", "luamp", "pool_queued"},
    {"map, chunks of 1", "luamp", "pool_mapped"},
    {"submit", "luamp", "executor_queued"},
    {"Python, apply_async", "python", "pool_queued", 100000},
  }}

add{name = "memory_of_children", title = "memory of idle children",
  x = "children", y = "KiB each", points = {1, 10, 100, 300, 1000},
  full = {5000}, series = methods "memory"}

add{name = "memory_of_objects", title = "memory of objects", x = "objects",
  y = "bytes each", points = {100, 1000, 10000, 100000, 1000000},
  series = {
    {"Lock", "luamp", "objects_Lock"}, {"Value", "luamp", "objects_Value"},
    {"Event", "luamp", "objects_Event"},
    {"Queue", "luamp", "objects_Queue", 100000},
  }}

--- Two workers that do nothing but their tasks.
local function ideal(us) return 2e6 / us end

local function points_of(curve, series, options)
  local xs = table.move(curve.points, 1, #curve.points, 1, {})
  for _, x in ipairs(options.full and curve.full or {}) do
    table.insert(xs, x)
  end
  local most = math.min(series[4] or 1e9, options.most or 1e9)
  while #xs > 0 and xs[#xs] > most do xs[#xs] = nil end
  return xs
end

--- A curve's points, as a table; what fails goes to notes.
---   ask(command) -> its last line | nil, why   has(side) -> is it installed?
function curves.measure(curve, ask, has, options, notes)
  local lines = {}
  for _, series in ipairs(curve.series) do
    local label, side, name = table.unpack(series)
    local line = {label = label, side = side, x = {}, y = {}}
    local xs = has(side) and points_of(curve, series, options) or {}
    for _, x in ipairs(xs) do
      local said, why
      if side == "ideal" then
        said = ideal(x)
      else
        said, why = ask((SIDES[side]:gsub("NAME", name):gsub("X$", x)))
      end
      local y = tonumber(said)
      if y then
        table.insert(line.x, x)
        table.insert(line.y, y)
      elseif said or why then
        table.insert(notes, {side = side, text = ("%s, %s at %d: %s"):format(
          curve.name, label, x, why or "no number: " .. said)})
      end
    end
    table.insert(lines, line)
  end
  return {
    name = curve.name, title = curve.title, x = curve.x, y = curve.y,
    lines = lines,
  }
end

return curves
