-- The callers who wait. TK: Call SID → ticket; QX: when each ticket dies; Q:<tenant>: a tenant's line in the order of coming;
-- QH: tenant → tag; QG and QT: the tenants that can be served, by tag, below their guarantee and above it.

local function ticketOf(cell, sid)
  if waiting(cell) == 0 then return nil end
  local text = redis.call('HGET', key(cell, 'TK'), sid)
  if not text then return nil end
  local class, since, tenant = string.match(text, '^(%S+) (%S+)\31(.*)$')
  return { sid = sid, tenant = tenant, class = class, since = tonumber(since) }
end

-- [LQ4] Puts a tenant with callers where it belongs after its calls, its tag or its limits changed.
local function fileTenant(cell, tenant, tag, calls)
  local limits = tenantLimit(cell, tenant)
  local goes = calls < limits.guaranteed and 'QG' or (calls < limits.burst and 'QT' or nil)
  for _, set in ipairs({ 'QG', 'QT' }) do
    if set == goes then
      redis.call('ZADD', key(cell, set), tag, tenant)
    else
      redis.call('ZREM', key(cell, set), tenant)
    end
  end
end

local function refile(cell, tenant, calls)
  if waiting(cell) == 0 then return end
  local tag = redis.call('HGET', key(cell, 'QH'), tenant)
  if tag then fileTenant(cell, tenant, tag, calls) end
end

-- [LQ2] A tenant gets a new place among the tenants.
local function stampTenant(cell, tenant)
  local tag = cell.clock + 1 / tenantLimit(cell, tenant).weight
  redis.call('HSET', key(cell, 'QH'), tenant, tag)
  fileTenant(cell, tenant, tag, callsOf(cell, 'T', tenant))
end

-- Whole seconds only, so that every store reckons the same.
local function fade(cell)
  local seconds = math.floor((cell.now - cell.rateAt) / 1000)
  if seconds == 0 then return end
  local rate = cell.rate
  for _ = 1, math.min(seconds, BOUNDS.fadeMax) do
    rate = rate * (BOUNDS.rateSeconds - 1) / BOUNDS.rateSeconds
  end
  put(cell, 'rate', rate)
  put(cell, 'rateAt', cell.rateAt + seconds * 1000)
end

local function enterLine(cell, sid, tenant, class)
  if waiting(cell) == 0 then put(cell, 'rateAt', cell.now) end
  cell.waits = cell.waits + 1
  put(cell, 'seq', (cell.seq or 0) + 1)
  redis.call('HSET', key(cell, 'TK'), sid, string.format('%s %.0f', class, cell.now) .. SEP .. tenant)
  redis.call('ZADD', key(cell, 'QX'), cell.now + cell.ticket, sid)
  redis.call('ZADD', key(cell, 'Q:' .. tenant), cell.seq, sid)
  if redis.call('HEXISTS', key(cell, 'QH'), tenant) == 0 then stampTenant(cell, tenant) end
end

-- [LQ3] Gives back whether others of its tenant still wait.
local function leaveLine(cell, ticket)
  local line = key(cell, 'Q:' .. ticket.tenant)
  cell.waits = waiting(cell) - 1
  redis.call('HDEL', key(cell, 'TK'), ticket.sid)
  redis.call('ZREM', key(cell, 'QX'), ticket.sid)
  redis.call('ZREM', line, ticket.sid)
  if redis.call('EXISTS', line) == 1 then return true end
  redis.call('HDEL', key(cell, 'QH'), ticket.tenant)
  redis.call('ZREM', key(cell, 'QG'), ticket.tenant)
  redis.call('ZREM', key(cell, 'QT'), ticket.tenant)
  if cell.clock ~= 0 and cell.waits == 0 then put(cell, 'clock', 0) end -- [LQ6]
  return false
end

-- A caller who waited is gone, without a place.
local function giveUpTicket(cell, ticket)
  forgetCaller(cell, ticket.sid)
  return leaveLine(cell, ticket)
end

-- [LQ5]
local function isDead(cell, sid)
  if isDistrusted(cell) then return false end
  return tonumber(redis.call('ZSCORE', key(cell, 'QX'), sid)) <= cell.now
end

-- The ticket of a caller who asks, if it lives.
local function touchTicket(cell, sid)
  local ticket = ticketOf(cell, sid)
  if not ticket then return nil end
  if isDead(cell, sid) then
    giveUpTicket(cell, ticket)
    return nil
  end
  redis.call('ZADD', key(cell, 'QX'), cell.now + cell.ticket, sid)
  return ticket
end

-- How many are served before this one if all goes on as it is, and how long that takes in ms.
local function outlook(cell, ticket)
  local place = redis.call('ZRANK', key(cell, 'Q:' .. ticket.tenant), ticket.sid)
  local weight = tenantLimit(cell, ticket.tenant).weight
  local tag = tonumber(redis.call('HGET', key(cell, 'QH'), ticket.tenant)) + place / weight
  local before = {}
  for _, set in ipairs({ 'QG', 'QT' }) do
    local max = BOUNDS.aheadTenantsMax + 1
    local found = redis.call('ZRANGEBYSCORE', key(cell, set), '-inf', tag, 'WITHSCORES', 'LIMIT', 0, max)
    for i = 1, #found, 2 do
      if found[i] ~= ticket.tenant then before[#before + 1] = { tenant = found[i], tag = tonumber(found[i + 1]) } end
    end
  end
  if #before > BOUNDS.aheadTenantsMax then
    table.sort(before, function(a, b) return a.tag < b.tag or (a.tag == b.tag and a.tenant < b.tenant) end)
  end
  local ahead = place
  for i = 1, math.min(#before, BOUNDS.aheadTenantsMax) do
    local other = before[i]
    local length = redis.call('ZCARD', key(cell, 'Q:' .. other.tenant))
    ahead = ahead + math.min(length, math.floor((tag - other.tag) * tenantLimit(cell, other.tenant).weight) + 1)
  end
  fade(cell)
  return ahead, math.min(BOUNDS.etaMaxMs, math.ceil(((ahead + 1) / cell.rate) * 1000))
end
