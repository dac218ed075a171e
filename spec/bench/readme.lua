-- The README's table of figures, from what run.lua has measured: each workload
-- with a goal or an aim, what it has reached, and where it has not, why.

local judge = require "judge"

local ROW = "| %s | %s | %s | %s | %s | %s | %s |"

local function amount(workload, side)
  if not side or not side.median then return "-" end
  local unit = workload.unit
  return judge.short(side.median) .. (unit == "/s" and "" or " " .. unit)
end

local function times(workload, result, side)
  local f = judge.factor(workload, result, side)
  return f and ("%.3g"):format(f) or "-"
end

--- Each thing wanted, with its outcome; what was missed, with its bound.
local function wanted(workload, result)
  local out, missed = {}, false
  for _, v in ipairs(judge.verdicts(workload, result)) do
    missed = missed or not v.met
    table.insert(out, ("%s%s %s"):format(v.kind == "aim" and "aim " or "",
      v.text:gsub(" x ", " × "):gsub(">=", "≥"):gsub("<=", "≤"),
      v.met and "✓" or "✗"))
  end
  local text = table.concat(out, ", ")
  return missed and workload.bound and text .. ": " .. workload.bound or text
end

local readme = {}

--- `pick(workload)` says which to print.
function readme.print(workloads, report, pick)
  local results, group = {}, nil
  for _, w in ipairs(report.workloads) do results[w.name] = w.sides end
  print(("Medians of %d interleaved rounds of `make bench`, %s, %s, %d CPUs; "
    .. "a second unless said."):format(report.rounds, report.date:sub(1, 10),
      report.machine, report.cpus))
  print()
  print(ROW:format("workload", "luamp", "Python", "times Python's", "C",
    "times C's", "wanted"))
  print("|" .. ("---|"):rep(7))
  for _, w in ipairs(workloads) do
    local result = results[w.name]
    if result and result.luamp and result.luamp.median and pick(w) then
      if w.group ~= group then
        print(ROW:format("**" .. w.group .. "**", "", "", "", "", "", ""))
        group = w.group
      end
      print(ROW:format("`" .. w.name .. "`", amount(w, result.luamp),
        amount(w, result.python), times(w, result, "python"),
        amount(w, result.floor), times(w, result, "floor"),
        wanted(w, result)))
    end
  end
end

return readme
