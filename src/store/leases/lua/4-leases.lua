-- The leases. H: Call SID → record; R, A, S: when the offered and reserved, the active, the suspect ones end.
-- The counts by tenant, pod and pool (T, P, PL) change only here, by what the record says (LL1).

local SET_OF = { O = 'R', R = 'R', A = 'A', S = 'S' }

-- The record begins with what a renewal compares: state, epoch, pod.
local function recordOf(lease)
  return table.concat({
    lease.state .. string.format('%.0f', lease.epoch), lease.pod, lease.pool, lease.unbacked, lease.tenant,
  }, SEP)
end

local function parseLease(sid, text)
  local state, epoch, pod, pool, unbacked, tenant =
    string.match(text, '^(%a)(%d+)\31([^\31]*)\31([^\31]*)\31(%d)\31(.*)$')
  return {
    sid = sid, state = state, epoch = tonumber(epoch), pod = pod, pool = pool, unbacked = unbacked, tenant = tenant,
  }
end

local function leaseOf(cell, sid)
  local text = redis.call('HGET', key(cell, 'H'), sid)
  return text and parseLease(sid, text) or nil
end

local function isOpened(lease) return lease.state == 'A' or lease.state == 'S' end

local function countTenant(cell, tenant, by)
  local calls = addTo(cell, 'T', tenant, by)
  local guaranteed = tenantLimit(cell, tenant).guaranteed
  if guaranteed > 0 then
    local change = math.max(0, guaranteed - calls) - math.max(0, guaranteed - (calls - by))
    if change ~= 0 then put(cell, 'unused', cell.unused + change) end -- [LL2]
  end
  refile(cell, tenant, calls)
end

local function countPod(cell, pod, by) placePod(cell, pod, addTo(cell, 'P', pod, by)) end

local function count(cell, lease, by)
  countTenant(cell, lease.tenant, by)
  countPod(cell, lease.pod, by)
  countPool(cell, lease.pool, by)
end

-- Writes the record and its end; `before` is the state it had, nil for a new one.
local function writeLease(cell, lease, before, untilMs)
  if before and SET_OF[before] ~= SET_OF[lease.state] then
    redis.call('ZREM', key(cell, SET_OF[before]), lease.sid)
  end
  redis.call('ZADD', key(cell, SET_OF[lease.state]), untilMs, lease.sid)
  redis.call('HSET', key(cell, 'H'), lease.sid, recordOf(lease))
end

local function addLease(cell, lease, untilMs)
  count(cell, lease, 1)
  writeLease(cell, lease, nil, untilMs)
end

local function dropLease(cell, lease)
  forgetCaller(cell, lease.sid)
  redis.call('HDEL', key(cell, 'H'), lease.sid)
  redis.call('ZREM', key(cell, SET_OF[lease.state]), lease.sid)
  count(cell, lease, -1)
end

local function movePod(cell, lease, pod)
  if lease.pod == pod then return end
  countPod(cell, lease.pod, -1)
  countPod(cell, pod, 1)
  lease.pod = pod
end

-- It is active for another ttl.
local function holdLease(cell, lease)
  local before = lease.state
  lease.state = 'A'
  writeLease(cell, lease, before, cell.now + cell.ttl)
end

local function grantOf(cell, kind, lease)
  return { kind, lease.pod, addressOf(cell, lease.pod), lease.pool, lease.epoch }
end

-- [LC3] Its caller hears of it now.
local function tell(cell, kind, lease)
  if lease.state == 'O' then
    lease.state = 'R'
    writeLease(cell, lease, 'O', cell.now + cell.reserved)
  end
  return grantOf(cell, kind, lease)
end

-- Whether a new call may enter now, and where: kind, pod, pool.
local function findRoom(cell, tenant, class)
  local verdict = judge(cell, tenant, class)
  if verdict ~= 'ok' then return verdict end
  local pool = pickPool(cell)
  if not pool then return 'full' end
  local pod = pickPod(cell, nil)
  if not pod then return hasReadyPod(cell) and 'full' or 'no-pod' end
  return 'room', pod, pool
end

local function reserve(cell, sid, tenant, pod, pool, state)
  local heldMs = state == 'R' and cell.reserved or math.max(cell.reserved, math.floor(cell.ticket / 2))
  local lease = { sid = sid, state = state, epoch = 1, pod = pod, pool = pool, unbacked = '0', tenant = tenant }
  addLease(cell, lease, cell.now + heldMs)
  spendConnect(cell, pool)
  return lease
end

local function firstOf(cell, set, skipped, skippedCount)
  for _, tenant in ipairs(redis.call('ZRANGE', key(cell, set), 0, skippedCount)) do
    if not skipped[tenant] then return tenant end
  end
  return nil
end

-- [LQ4] The tenant to serve next; what nobody could get is not looked for.
local function nextTenant(cell, skipped, skippedCount)
  local inUse, limit = used(cell), cell.limit or 0
  local tenant = inUse < limit - cell.keepInbound and firstOf(cell, 'QG', skipped, skippedCount)
  if tenant then return tenant end
  if inUse + cell.unused >= limit - math.min(cell.keepInbound, cell.keepOutbound) then return nil end
  return firstOf(cell, 'QT', skipped, skippedCount)
end

-- [LC2]
local function serveWaiting(cell)
  if isRecovering(cell) or waiting(cell) == 0 then return end
  local skipped, skippedCount, granted = {}, 0, 0
  for _ = 1, BOUNDS.stepsMax do
    local tenant = nextTenant(cell, skipped, skippedCount)
    if not tenant or granted >= BOUNDS.grantsMax then return end
    local ticket = ticketOf(cell, redis.call('ZRANGE', key(cell, 'Q:' .. tenant), 0, 0)[1])
    if isDead(cell, ticket.sid) then
      giveUpTicket(cell, ticket)
    elseif judge(cell, tenant, ticket.class) ~= 'ok' then
      skipped[tenant] = true
      skippedCount = skippedCount + 1
    else
      local kind, pod, pool = findRoom(cell, tenant, ticket.class)
      if kind ~= 'room' then return end
      reserve(cell, ticket.sid, tenant, pod, pool, 'O')
      fade(cell)
      put(cell, 'rate', cell.rate + 1 / BOUNDS.rateSeconds)
      put(cell, 'clock', math.max(cell.clock, tonumber(redis.call('HGET', key(cell, 'QH'), tenant))))
      if leaveLine(cell, ticket) then stampTenant(cell, tenant) end -- [LQ2]
      granted = granted + 1
    end
  end
end
