-- Takes a renewed certificate into the process that serves, so that live streams stay. Rules:
-- RN1: certificate and key are read each EVERY_MS. A change is given to HAProxy over its own admin socket; new connections get it.
-- RN2: what HAProxy refuses (a key of another certificate, half of a pair) changes nothing: the old one is served, the refusal is logged
--      once for each text, and the pair is tried again each time.
-- RN3: a pair larger than PAIR_MAX_BYTES does not pass through the admin socket; it is refused like RN2.

local EVERY_MS = 5000
local PAIR_MAX_BYTES = 15000
local ANSWER_MAX_SECONDS = 5
local CERTIFICATE = "/etc/haproxy-tls/site.pem"
local SOCKET = "/var/run/haproxy/admin.sock"

local function read(path)
  local file = io.open(path, "r")
  if file == nil then return "" end
  local text = file:read("a")
  file:close()
  return text or ""
end

-- An empty line would end what is given to the admin socket.
local function read_pair()
  local text = (read(CERTIFICATE) .. "\n" .. read(CERTIFICATE .. ".key")):gsub("\r", "")
  return (text:gsub("\n%s*\n", "\n"):gsub("^%s+", ""):gsub("%s+$", ""))
end

-- The answer of the admin socket to one command, an empty text when it does not answer.
local function order(line)
  local socket = core.tcp()
  socket:settimeout(ANSWER_MAX_SECONDS)
  if not socket:connect(SOCKET) then return "the admin socket does not answer" end
  socket:send(line)
  local answer = socket:receive("*a")
  socket:close()
  return answer or ""
end

-- nil: HAProxy serves it now; else why not.
local function serve(pair)
  if #pair > PAIR_MAX_BYTES then return "it has more than " .. PAIR_MAX_BYTES .. " bytes" end
  local set = order("set ssl cert " .. CERTIFICATE .. " <<\n" .. pair .. "\n\n")
  local committed = set:find("ransaction") and order("commit ssl cert " .. CERTIFICATE .. "\n") or ""
  if committed:find("Success") then return nil end
  order("abort ssl cert " .. CERTIFICATE .. "\n")
  return (set .. " " .. committed):gsub("%s+", " ")
end

local served = read_pair()
local refused = nil
core.register_task(function()
  while true do
    core.msleep(EVERY_MS)
    local pair = read_pair()
    if pair ~= served then
      local problem = serve(pair)
      if problem == nil then
        served = pair
        refused = nil
        core.log(core.notice, "the renewed certificate is served")
      elseif pair ~= refused then
        refused = pair
        core.log(core.alert, "the renewed certificate is refused, the old one is served on: " .. problem)
      end
    end
  end
end)
