std = "lua54"
max_line_length = 80
-- A variable that only waits to be closed is named _ or _something.
ignore = { "211/_.*", "212/_.*", "213/_.*" }
exclude_files = { "lua/meta" }

files["spec"] = { std = "+busted" }
files["rockspec"] = { std = "+rockspec" }
