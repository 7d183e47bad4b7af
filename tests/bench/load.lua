-- The requests of one load, for wrk: `wrk … -- WORKLOAD PEOPLE TASKS START PLACE STEP PAUSE SEED ENCODINGS [QUERY]`.
--
-- PEOPLE is a file of users and their tokens; each has TASKS tasks, whose ids are those of the seed (parts.py). Of STEP
-- programs that load the same database, this one is the one at PLACE. PAUSE is the mean think time in milliseconds.

local people, tasks, start, place, step, query = {}, 0, 0, 0, 1, ""
local work
local made, walked = 0, 0

local function id(person, n)
  local ms, u = start + n * 1000, person.number
  return string.format("%08x-%04x-7%03x-8000-%012x", math.floor(ms / 65536), ms % 65536, u % 4096, u)
end

local function anybody()
  return people[math.random(#people)]
end

local function ask(method, person, below, body)
  local head = method .. " /api/" .. person.name .. "/tasks" .. below .. person.head
  if not body then return head .. "\r\n" end
  return head .. "Content-Type: application/json\r\nContent-Length: " .. #body .. "\r\n\r\n" .. body
end

local workloads = {}

function workloads.get()
  local person = anybody()
  return ask("GET", person, "/" .. id(person, math.random(0, tasks - 1)))
end

function workloads.list()
  return ask("GET", anybody(), query)
end

-- The same list as a tool of agents: the query is the arguments.
function workloads.tool()
  local head = "POST /mcp" .. anybody().head .. "Content-Type: application/json\r\nMCP-Protocol-Version: 2026-07-28\r\n"
  head = head .. "Mcp-Method: tools/call\r\nMcp-Name: list_tasks\r\nContent-Length: " .. #query .. "\r\n\r\n"
  return head .. query
end

function workloads.create()
  made = made + 1
  return ask("POST", anybody(), "", '{"title":"Made as number ' .. made .. ': buy milk and bread"}')
end

-- Walks over all tasks, far from the last at each step, and turns each over. It comes back to a task after all others, so
-- every request writes.
function workloads.complete()
  local count = #people * tasks
  local at = place + step * walked
  walked = walked + 1
  local round, spot = math.floor(at / count), (at % count) * 7919 % count
  local person, n = people[spot % #people + 1], math.floor(spot / #people)
  local completed = (n + round) % 2 == 1
  return ask("PATCH", person, "/" .. id(person, n) .. "/complete", '{"is_completed":' .. tostring(completed) .. "}")
end

local function rename()
  local person = anybody()
  local title = "Task renamed at " .. math.random(1e9) .. ": buy milk"
  return ask("PATCH", person, "/" .. id(person, math.random(0, tasks - 1)), '{"title":"' .. title .. '"}')
end

-- Somebody at work looks more than they write.
function workloads.mixed()
  local dice = math.random(100)
  if dice <= 40 then return workloads.list() end
  if dice <= 70 then return workloads.get() end
  if dice <= 85 then return workloads.complete() end
  if dice <= 95 then return workloads.create() end
  return rename()
end

function init(args)
  work = workloads[args[1]]
  for line in io.lines(args[2]) do
    local name, token = line:match("^(%S+) (%S+)$")
    local head = " HTTP/1.1\r\nHost: tasks\r\nAccept-Encoding: " .. args[9]
    head = head .. "\r\nAuthorization: Bearer " .. token .. "\r\n"
    people[#people + 1] = { name = name, number = tonumber(name:match("%d+$")), head = head }
  end
  tasks, start, place, step = tonumber(args[3]), tonumber(args[4]), tonumber(args[5]), tonumber(args[6])
  local pause = tonumber(args[7])
  math.randomseed(tonumber(args[8]) * 1000 + place)
  query = args[10] or ""
  -- wrk asks whether there is such a function.
  if pause > 0 then
    function delay() return math.random(0, 2 * pause) end
  end
end

function request()
  return work()
end

function done(summary, latency)
  local errors = summary.errors
  local bad = errors.status + errors.connect + errors.read + errors.write + errors.timeout
  local ms = function(percent) return latency:percentile(percent) / 1000 end
  io.write(string.format(
    'RESULT {"requests":%d,"seconds":%.6f,"bad":%d,"p50":%.3f,"p95":%.3f,"p99":%.3f}\n',
    summary.requests, summary.duration / 1e6, bad, ms(50), ms(95), ms(99)))
end
