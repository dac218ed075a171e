-- What runs of a workload amount to: medians, factors, goals met or not.

local judge = {}

function judge.summary(runs)
  local sorted = table.move(runs, 1, #runs, 1, {})
  table.sort(sorted)
  local n = #sorted
  return {
    runs = runs, -- in the order of the rounds
    min = sorted[1], max = sorted[n],
    median = (sorted[(n + 1) // 2] + sorted[n // 2 + 1]) / 2,
  }
end

--- 1234567 -> "1.23 M"
function judge.short(x)
  if not x then return "-" end
  if x >= 1e9 then return ("%.3g G"):format(x / 1e9) end
  if x >= 1e6 then return ("%.3g M"):format(x / 1e6) end
  if x >= 1e4 then return ("%.3g k"):format(x / 1e3) end
  return ("%.4g"):format(x)
end

--- How many times better luamp is than `side`: the median of the rounds'
--- factors, since the machine's speed may drift from one round to the next.
function judge.factor(workload, result, side)
  local ours, theirs = result.luamp, result[side]
  if not ours or not theirs or ours.failed or theirs.failed then return nil end
  local factors = {}
  for round, value in ipairs(ours.runs) do
    local f = value / theirs.runs[round]
    factors[round] = workload.less and 1 / f or f
  end
  return judge.summary(factors).median
end

local function judge_one(workload, key, want, result)
  local ours = result.luamp and result.luamp.median
  if key == "least" then
    return ">= " .. judge.short(want), ours and ours >= want
  elseif key == "most" then
    return "<= " .. judge.short(want), ours and ours <= want
  end
  local got = judge.factor(workload, result, key)
  if not got then return end
  return ("%g x %s"):format(want, key), got >= want
end

--- {kind, text, met} of each goal and aim, in the order of their names, but
--- not of those that compare with a side that has not run.
function judge.verdicts(workload, result)
  local verdicts = {}
  for _, kind in ipairs{"goal", "aim"} do
    local keys = {}
    for key in pairs(workload[kind .. "s"] or {}) do keys[#keys + 1] = key end
    table.sort(keys)
    for _, key in ipairs(keys) do
      local want = workload[kind .. "s"][key]
      local text, met = judge_one(workload, key, want, result)
      if text then
        table.insert(verdicts, {kind = kind, text = text, met = met or false})
      end
    end
  end
  return verdicts
end

return judge
