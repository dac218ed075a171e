-- The bench as a picture: bars of the workloads, lines of the curves, each on
-- a logarithmic scale.  Plain SVG, its colours those of the reader's light or
-- dark page.

local judge = require "judge"

local WIDTH, MARGIN, GUTTER = 1000, 20, 30
local COLUMN = (WIDTH - 2 * MARGIN - GUTTER) / 2
local LABEL, NUMBER = 158, 52 -- left and right of the bars
local BAR, ROW = 7, 29
local PLOT_W, PLOT_H = 280, 220

-- class -> its colour on a light page, on a dark one
local COLOURS = {
  {"luamp", "#2563eb", "#60a5fa"}, {"python", "#d9a514", "#e3b341"},
  {"floor", "#8c959f", "#6e7681"}, {"second", "#9333ea", "#c084fc"},
  {"third", "#0f9f8f", "#2dd4bf"}, {"fourth", "#e5484d", "#ff7b72"},
}

local function style()
  local out = {"text{font:11px system-ui,sans-serif;fill:#24292f}"
    .. "text.head{font-weight:600;font-size:13px}text.small{font-size:9px}"
    .. ".page{fill:#fff}text.soft{fill:#656d76}"
    .. ".grid{stroke:#d0d7de;stroke-width:.6}"
    .. ".line{stroke-width:1.8}.ideal{stroke:#8c959f;stroke-dasharray:4 3}"}
  local function colours(which)
    for _, c in ipairs(COLOURS) do
      local form = "rect.%s{fill:%s}.line.%s{stroke:%s}"
      table.insert(out, form:format(c[1], c[which], c[1], c[which]))
    end
  end
  colours(2)
  table.insert(out, "@media(prefers-color-scheme:dark){"
    .. "text{fill:#e6edf3}.page{fill:#0d1117}text.soft{fill:#9198a1}"
    .. ".grid{stroke:#30363d}")
  colours(3)
  return table.concat(out, "\n") .. "\n}"
end

local SIDES = {
  {"luamp", "luamp"}, {"python", "Python"}, {"floor", "plain C"},
}

-- building blocks ------------------------------------------------------------

local ESCAPES = {["&"] = "&amp;", ["<"] = "&lt;", [">"] = "&gt;"}

--- A drawing is a list of lines, everything at absolute places.
local Drawing = {}
Drawing.__index = Drawing

function Drawing:add(form, ...)
  self[#self + 1] = form:format(...)
end

function Drawing:text(x, y, text, class, anchor)
  self:add('<text x="%.1f" y="%.1f" class="%s" text-anchor="%s">%s</text>',
    x, y, class or "", anchor or "start", (text:gsub("[&<>]", ESCAPES)))
end

function Drawing:rect(x, y, width, height, class)
  self:add('<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" class="%s"/>',
    x, y, width, height, class)
end

function Drawing:line(x1, y1, x2, y2, class)
  self:add('<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" class="%s"/>',
    x1, y1, x2, y2, class)
end

--- From a value to its place between two ends, and the powers of ten between.
local function log_scale(low, high, from, to)
  local first = math.floor(math.log(low, 10) + 1e-9)
  local last = math.ceil(math.log(high, 10) - 1e-9)
  if last <= first then last = first + 1 end
  local function place(v)
    local part = (math.log(v, 10) - first) / (last - first)
    return from + (to - from) * math.max(0, part)
  end
  local ticks = {}
  for power = first, last do ticks[#ticks + 1] = 10.0 ^ power end
  return place, ticks
end

local function tick_text(v)
  return (judge.short(v):gsub(" ", ""))
end

local function range(low, high, values)
  for _, v in ipairs(values) do
    if v > 0 then low, high = math.min(low, v), math.max(high, v) end
  end
  return low, high
end

-- bars -----------------------------------------------------------------------

--- {title, unit, less, rows} of each group and unit, in the workloads' order.
local function sections_of(workloads, results)
  local sections, known = {}, {}
  for _, w in ipairs(workloads) do
    local result = results[w.name]
    if result and result.luamp and result.luamp.median then
      local key = w.group .. "\0" .. w.unit
      if not known[key] then
        known[key] = {title = w.group, unit = w.unit, less = w.less, rows = {}}
        table.insert(sections, known[key])
      end
      table.insert(known[key].rows, {name = w.name, sides = result})
    end
  end
  return sections
end

local function height_of(section)
  return 40 + ROW * #section.rows
end

local function bars(drawing, section, left, top)
  local low, high = math.huge, 0
  for _, row in ipairs(section.rows) do
    for _, side in ipairs(SIDES) do
      local r = row.sides[side[1]]
      low, high = range(low, high, {r and r.median})
    end
  end
  local place, ticks = log_scale(low * 0.7, high, left + LABEL,
    left + COLUMN - NUMBER)
  local unit = section.unit == "/s" and "a second" or section.unit
  drawing:text(left, top + 13, section.title, "head")
  drawing:text(left + COLUMN - NUMBER, top + 13,
    unit .. (section.less and ", less is better" or ""), "soft", "end")
  local bottom = top + height_of(section) - 12
  local every = #ticks > 8 and 2 or 1
  for i, tick in ipairs(ticks) do
    drawing:line(place(tick), top + 30, place(tick), bottom, "grid")
    if (i - 1) % every == 0 then
      drawing:text(place(tick), top + 27, tick_text(tick), "small soft",
        "middle")
    end
  end
  for i, row in ipairs(section.rows) do
    local y = top + 34 + ROW * (i - 1)
    drawing:text(left, y + 2 * BAR, row.name)
    for k, side in ipairs(SIDES) do
      local median = row.sides[side[1]] and row.sides[side[1]].median
      if median and median > 0 then
        local at = y + (k - 1) * (BAR + 1)
        drawing:rect(left + LABEL, at, place(median) - left - LABEL, BAR,
          side[1])
        drawing:text(place(median) + 4, at + BAR, judge.short(median),
          "small" .. (k == 1 and "" or " soft"))
      end
    end
  end
end

--- Two columns of about the same height; says where the lower one ends.
local function draw_bars(drawing, sections, top)
  local total, sum = 0, 0
  for _, section in ipairs(sections) do total = total + height_of(section) end
  local left, y, deepest = MARGIN, top, top
  for _, section in ipairs(sections) do
    local middle = sum + height_of(section) / 2
    if left == MARGIN and middle > total / 2 then
      left, y = MARGIN + COLUMN + GUTTER, top
    end
    bars(drawing, section, left, y)
    sum, y = sum + height_of(section), y + height_of(section)
    deepest = math.max(deepest, y)
  end
  return deepest
end

-- lines ----------------------------------------------------------------------

local OURS = {"luamp", "second", "third", "fourth"}

local function axes(drawing, curve, box)
  local xs, ys = {math.huge, 0}, {math.huge, 0}
  for _, line in ipairs(curve.lines) do
    xs[1], xs[2] = range(xs[1], xs[2], line.x)
    ys[1], ys[2] = range(ys[1], ys[2], line.y)
  end
  local x_of, x_ticks = log_scale(xs[1], xs[2], box.left, box.right)
  local y_of, y_ticks = log_scale(ys[1], ys[2], box.bottom, box.top)
  for i, tick in ipairs(x_ticks) do
    drawing:line(x_of(tick), box.top, x_of(tick), box.bottom, "grid")
    if #x_ticks < 7 or i % 2 == 1 then
      drawing:text(x_of(tick), box.bottom + 12, tick_text(tick), "small soft",
        "middle")
    end
  end
  for _, tick in ipairs(y_ticks) do
    drawing:line(box.left, y_of(tick), box.right, y_of(tick), "grid")
    drawing:text(box.left - 4, y_of(tick) + 3, tick_text(tick), "small soft",
      "end")
  end
  return x_of, y_of
end

local function chart(drawing, curve, left, top)
  local box = {
    left = left + 40, right = left + PLOT_W, top = top + 24,
    bottom = top + PLOT_H - 76,
  }
  drawing:text(left, top + 13, curve.title, "head")
  drawing:text(box.right, top + 13, curve.y .. " by " .. curve.x, "soft", "end")
  local x_of, y_of = axes(drawing, curve, box)
  local ours, legend = 0, 0
  for _, line in ipairs(curve.lines) do
    if #line.x > 0 then
      local class = line.side
      if class == "luamp" then ours, class = ours + 1, OURS[ours + 1] end
      local points = {}
      for i, x in ipairs(line.x) do
        points[i] = ("%.1f,%.1f"):format(x_of(x), y_of(line.y[i]))
      end
      drawing:add('<polyline points="%s" class="%s line" style="fill:none"/>',
        table.concat(points, " "), class)
      local x = box.left + legend % 2 * 125
      local y = box.bottom + 28 + legend // 2 * 14
      drawing:line(x, y - 4, x + 14, y - 4, class .. " line")
      drawing:text(x + 18, y, line.label, "small")
      legend = legend + 1
    end
  end
end

local function draw_curves(drawing, list, top)
  local across = 3
  for i, curve in ipairs(list) do
    local column, row = (i - 1) % across, (i - 1) // across
    chart(drawing, curve, MARGIN + column * (PLOT_W + 40),
      top + row * PLOT_H)
  end
  return top + (#list + across - 1) // across * PLOT_H
end

-- ----------------------------------------------------------------------------

local function legend(drawing, report)
  drawing:text(MARGIN, 24, "luamp beside Python and plain C", "head")
  local x = WIDTH - MARGIN - 220
  for _, side in ipairs(SIDES) do
    drawing:rect(x, 15, 12, 9, side[1])
    drawing:text(x + 17, 24, side[2])
    x = x + 78
  end
  drawing:text(MARGIN, 42, ("medians of %d, on %s with %d CPUs; a gap in the "
    .. "bars: there is no such program"):format(report.rounds, report.machine,
      report.cpus), "soft")
end

local picture = {}

--- The SVG's text.  `report` and `curves` are what run.lua has saved; either
--- may be nil.
function picture.draw(workloads, report, curves)
  local drawing = setmetatable({}, Drawing)
  local y = 60
  legend(drawing, report or curves)
  if report then
    local results = {}
    for _, w in ipairs(report.workloads) do results[w.name] = w.sides end
    y = draw_bars(drawing, sections_of(workloads, results), y) + 10
  end
  if curves then y = draw_curves(drawing, curves.curves, y) end
  local head = ('<svg xmlns="http://www.w3.org/2000/svg" width="%d" '
    .. 'height="%d" viewBox="0 0 %d %d">\n<style>%s</style>\n'
    .. '<rect class="page" width="100%%" height="100%%"/>\n'):format(
      WIDTH, y // 1, WIDTH, y // 1, style())
  return head .. table.concat(drawing, "\n") .. "\n</svg>\n"
end

return picture
