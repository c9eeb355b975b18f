-- The pods of a cell. PD: pod → entry; PA: all pods by their last announcement; PY: the ready ones of them;
-- PN: below how many calls a pod takes new ones, where that is less than its callsMax; the version before does not know of it.
-- PR: those with room, by calls + penalty. PR may hold pods that fell silent: who meets one takes it out.

local function podEntry(cell, pod)
  if cell.entries[pod] then return cell.entries[pod] end
  local text = redis.call('HGET', key(cell, 'PD'), pod)
  if not text then return nil end
  local state, callsMax, penalty, at, incarnation, address =
    string.match(text, '^(%S+) (%S+) (%S+) (%S+)\31([^\31]*)\31(.*)$')
  local entry = {
    pod = pod, state = state, callsMax = tonumber(callsMax), penalty = tonumber(penalty), at = tonumber(at),
    incarnation = incarnation, address = address,
  }
  entry.newCallsMax = math.min(entry.callsMax, tonumber(redis.call('HGET', key(cell, 'PN'), pod)) or entry.callsMax)
  cell.entries[pod] = entry
  return entry
end

-- [LPD1] Puts a pod where it belongs after its calls or its entry changed.
local function placePod(cell, pod, calls)
  local entry = podEntry(cell, pod)
  if entry and entry.state == 'ready' and calls < entry.newCallsMax then
    redis.call('ZADD', key(cell, 'PR'), calls + entry.penalty, pod)
  else
    redis.call('ZREM', key(cell, 'PR'), pod)
  end
end

local function addressOf(cell, pod)
  local entry = podEntry(cell, pod)
  return entry and entry.address or ''
end

-- [LPD2] The least loaded placeable pod but `avoid`.
local function pickPod(cell, avoid)
  local from = 0
  while true do
    local pod = redis.call('ZRANGE', key(cell, 'PR'), from, from)[1]
    if not pod then return nil end
    local entry = podEntry(cell, pod)
    if not entry or cell.now - entry.at > cell.ttl then
      redis.call('ZREM', key(cell, 'PR'), pod)
    elseif pod == avoid then
      from = from + 1
    else
      return pod
    end
  end
end

local function isIn(cell, entry, state) return entry.state == state and cell.now - entry.at <= cell.ttl end

local function hasReadyPod(cell)
  return redis.call('ZCOUNT', key(cell, 'PY'), cell.now - cell.ttl, '+inf') > 0
end

-- [LPD3] The least loaded pod in `state` with room whatever its penalty: looks at all pods, at most podsMax.
local function scanPods(cell, hasRoomFor, state)
  local best, bestLoad
  for _, pod in ipairs(redis.call('HKEYS', key(cell, 'PD'))) do
    local entry = podEntry(cell, pod)
    if isIn(cell, entry, state or 'ready') then
      local calls = callsOf(cell, 'P', pod)
      local load = calls + entry.penalty
      if hasRoomFor(entry, calls) and (not best or load < bestLoad or (load == bestLoad and pod < best)) then
        best, bestLoad = pod, load
      end
    end
  end
  return best
end

-- [LPD3]
local function pickResumePod(cell, avoid, prefer, own)
  local function hasRoomFor(entry, calls) return calls - (entry.pod == own and 1 or 0) < entry.newCallsMax end
  local function mayTake(entry, calls)
    return calls - (entry.pod == own and 1 or 0) < math.ceil(entry.callsMax * BOUNDS.resumeTenths / 10)
  end
  if prefer ~= '' then
    local entry = podEntry(cell, prefer)
    if entry and isIn(cell, entry, 'ready') and mayTake(entry, callsOf(cell, 'P', prefer)) then return prefer end
  end
  return pickPod(cell, avoid)
    or scanPods(cell, function(entry, calls) return entry.pod ~= avoid and hasRoomFor(entry, calls) end)
    or scanPods(cell, function(entry, calls) return entry.pod ~= avoid and mayTake(entry, calls) end)
    or scanPods(cell, function(entry, calls) return entry.pod ~= avoid and mayTake(entry, calls) end, 'cordoned')
    or scanPods(cell, function(entry, calls) return entry.pod == avoid and mayTake(entry, calls) end)
    or scanPods(cell, mayTake, 'draining')
end

-- args: pod, state, callsMax, penalty, incarnation, address, newCallsMax
register('announce', function(cell, args)
  local pod, state = args[1], args[2]
  local isNew = redis.call('HEXISTS', key(cell, 'PD'), pod) == 0
  if isNew and redis.call('HLEN', key(cell, 'PD')) >= BOUNDS.podsMax then return 'full' end
  local figures = string.format('%s %s %s %.0f', state, args[3], args[4], cell.now)
  redis.call('HSET', key(cell, 'PD'), pod, figures .. SEP .. args[5] .. SEP .. args[6])
  if tonumber(args[7]) < tonumber(args[3]) then
    redis.call('HSET', key(cell, 'PN'), pod, args[7])
  else
    redis.call('HDEL', key(cell, 'PN'), pod)
  end
  cell.entries[pod] = nil
  redis.call('ZADD', key(cell, 'PA'), cell.now, pod)
  if state == 'ready' then
    redis.call('ZADD', key(cell, 'PY'), cell.now, pod)
  else
    redis.call('ZREM', key(cell, 'PY'), pod)
  end
  placePod(cell, pod, callsOf(cell, 'P', pod))
  return 'ok'
end)

register('pods', function(cell)
  local pods = redis.call('HKEYS', key(cell, 'PD'))
  table.sort(pods)
  local answer = {}
  for i, pod in ipairs(pods) do
    local entry = podEntry(cell, pod)
    answer[i] = {
      pod, entry.incarnation, entry.address, entry.state, tostring(entry.callsMax), tostring(entry.penalty),
      callsOf(cell, 'P', pod), cell.now - entry.at, tostring(entry.newCallsMax),
    }
  end
  return answer
end)

-- [LPD4]
local function forgetPods(cell, max)
  local before = string.format('(%.0f', cell.now - cell.hard)
  for _, pod in ipairs(redis.call('ZRANGEBYSCORE', key(cell, 'PA'), '-inf', before, 'LIMIT', 0, max)) do
    if callsOf(cell, 'P', pod) == 0 then
      redis.call('HDEL', key(cell, 'PD'), pod)
      redis.call('HDEL', key(cell, 'PN'), pod)
      for _, set in ipairs({ 'PA', 'PY', 'PR' }) do redis.call('ZREM', key(cell, set), pod) end
    end
  end
end
