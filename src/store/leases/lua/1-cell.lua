-- The ground of the library: one cell's keys, its time, its settings, and what is counted. `BOUNDS` stands before this text.
-- Everything is read and written through `cell`, which lives for one call of a function.
-- The rules are those of the store in memory (../*.ts): LC, LL, LPD, LQ, LM, LUP; where a line keeps one it says so.
local SEP = '\31'

-- Settings and running figures of a cell; the last three are texts, the others numbers.
local FIELDS = {
  'ttl', 'hard', 'reserved', 'recovering', 'ticket', 'virtual', 'vt', 'recov', 'last', 'distrust', 'mass',
  'limit', 'keepInbound', 'keepOutbound', 'queueMax', 'unused', 'clock', 'rate', 'rateAt', 'seq', 'pools', 'other',
  'ceilings',
}
local NUMBERS = #FIELDS - 3

local function key(cell, name) return cell.prefix .. name end

local function put(cell, field, value)
  cell[field] = value
  redis.call('HSET', cell.prefix .. 'cfg', field, value)
end

-- [LC1] The store's own time, never back; virtual time only where `init` was told so.
local function readTime(cell)
  local now
  if cell.virtual == 1 then
    now = cell.vt or 0
  else
    local time = redis.call('TIME')
    now = time[1] * 1000 + math.floor(time[2] / 1000)
  end
  local before = cell.last
  if before and now < before then now = before end
  if before and (now - before) * 3 > cell.ttl * 2 then put(cell, 'distrust', now + cell.ttl) end
  if now ~= before then put(cell, 'last', now) end
  cell.now = now
end

-- Every function begins with it. Without times the client must say them first: a store that lost everything.
local function begin(keys)
  local cell = { prefix = string.sub(keys[1], 1, -4), limits = {}, entries = {} }
  local values = redis.call('HMGET', keys[1], unpack(FIELDS))
  for i = 1, #FIELDS do
    local value = values[i]
    if value then cell[FIELDS[i]] = i <= NUMBERS and tonumber(value) or value end
  end
  if not cell.ttl then error({ err = 'VPINIT the times of this cell are not set' }) end
  cell.unused = cell.unused or 0
  cell.clock = cell.clock or 0
  readTime(cell)
  return cell
end

local function register(name, body)
  redis.register_function('vp5_' .. name, function(keys, args) return body(begin(keys), args) end)
end

local function isDistrusted(cell) return cell.distrust ~= nil and cell.now < cell.distrust end
-- [LC4]
local function isRecovering(cell) return cell.recov == nil or cell.now < cell.recov end

-- [LL3]
local function tenantLimit(cell, tenant)
  local known = cell.limits[tenant]
  if known then return known end
  local text = redis.call('HGET', key(cell, 'LT'), tenant) or cell.other or '0 0 1'
  local guaranteed, burst, weight = string.match(text, '^(%S+) (%S+) (%S+)$')
  known = { guaranteed = tonumber(guaranteed), burst = tonumber(burst), weight = tonumber(weight) }
  cell.limits[tenant] = known
  return known
end

local function callsOf(cell, hash, name) return tonumber(redis.call('HGET', key(cell, hash), name) or 0) end
local function used(cell) return redis.call('HLEN', key(cell, 'H')) end

-- Callers who wait; read once in an operation, since most find nobody.
local function waiting(cell)
  if not cell.waits then cell.waits = redis.call('HLEN', key(cell, 'TK')) end
  return cell.waits
end

-- A count of 0 has no entry.
local function addTo(cell, hash, name, by)
  local count = redis.call('HINCRBY', key(cell, hash), name, by)
  if count == 0 then redis.call('HDEL', key(cell, hash), name) end
  return count
end

local poolsText, poolsList
-- The pools as they were configured, below the ceilings that stand; decoded again only when a text differs.
local function poolsOf(cell)
  if not cell.pools then return {} end
  local text = cell.pools .. SEP .. (cell.ceilings or '{}')
  if text ~= poolsText then
    poolsText = text
    poolsList = cjson.decode(cell.pools)
    local ceilings = cjson.decode(cell.ceilings or '{}')
    for _, pool in ipairs(poolsList) do pool.callsMax = math.min(pool.callsMax, ceilings[pool.pool] or pool.callsMax) end
  end
  return poolsList
end

-- Calls and bucket of each configured pool, read at once.
local function poolFigures(cell)
  if cell.poolCalls then return cell.poolCalls, cell.buckets end
  cell.poolCalls, cell.buckets = {}, {}
  local names = {}
  for i, pool in ipairs(poolsOf(cell)) do names[i] = pool.pool end
  if #names > 0 then
    local calls = redis.call('HMGET', key(cell, 'PL'), unpack(names))
    local buckets = redis.call('HMGET', key(cell, 'B'), unpack(names))
    for i, name in ipairs(names) do
      cell.poolCalls[name] = tonumber(calls[i] or 0)
      cell.buckets[name] = buckets[i]
    end
  end
  return cell.poolCalls, cell.buckets
end

local function countPool(cell, name, by)
  local calls = addTo(cell, 'PL', name, by)
  if cell.poolCalls then cell.poolCalls[name] = calls end
end

-- [LL5] What a pool may still spend on connects.
local function tokensOf(cell, pool)
  local rate = pool.connectsPerSecond
  local size = 0
  if rate > 0 then size = math.max(1, rate) end
  local _, buckets = poolFigures(cell)
  local bucket = buckets[pool.pool]
  if not bucket then return size end
  local tokens, at = string.match(bucket, '^(%S+) (%S+)$')
  return math.min(size, tonumber(tokens) + ((cell.now - tonumber(at)) / 1000) * rate)
end

local function spendConnect(cell, name)
  for _, pool in ipairs(poolsOf(cell)) do
    if pool.pool == name then
      local tokens = math.max(tokensOf(cell, pool) - 1, -pool.connectsPerSecond)
      cell.buckets[name] = string.format('%.17g %.0f', tokens, cell.now)
      redis.call('HSET', key(cell, 'B'), name, cell.buckets[name])
      return
    end
  end
end

local function leastUsed(cell, isFit)
  local best, bestShare
  local poolCalls = poolFigures(cell)
  for _, pool in ipairs(poolsOf(cell)) do
    local calls = poolCalls[pool.pool]
    if pool.weight > 0 and isFit(pool, calls) then
      local share = (calls + 1) / pool.weight
      if not best or share < bestShare then best, bestShare = pool.pool, share end
    end
  end
  return best
end

local function hasRoom(pool, calls) return calls < pool.callsMax end

-- [LL4]
local function pickPool(cell)
  return leastUsed(cell, function(pool, calls) return hasRoom(pool, calls) and tokensOf(cell, pool) >= 1 end)
end

local function poolOfResume(cell, wanted)
  for _, pool in ipairs(poolsOf(cell)) do
    if pool.pool == wanted then return wanted end
  end
  return leastUsed(cell, hasRoom) or leastUsed(cell, function() return true end)
    or (wanted ~= '' and wanted or 'default')
end

-- [LL2] Whether the limits let a call in, pools and pods aside.
local function judge(cell, tenant, class)
  local limits = tenantLimit(cell, tenant)
  local own = callsOf(cell, 'T', tenant)
  if own >= limits.burst then return 'tenant-full' end
  local limit = cell.limit or 0
  if own < limits.guaranteed then
    return used(cell) < limit - cell.keepInbound and 'ok' or 'full'
  end
  local kept = class == 'inbound' and cell.keepInbound or cell.keepOutbound
  return used(cell) + cell.unused < limit - kept and 'ok' or 'full'
end

-- The places of each far party. CO: Call SID → caller; C:<caller>: the calls that it has, live and waiting.

-- [LCA1] '' for a caller who is not known.
local function rememberCaller(cell, sid, caller)
  if caller == nil or caller == '' then return end
  if redis.call('HSETNX', key(cell, 'CO'), sid, caller) == 1 then
    for one in string.gmatch(caller, '%S+') do redis.call('SADD', key(cell, 'C:' .. one), sid) end
  end
end

local function forgetCaller(cell, sid)
  local caller = redis.call('HGET', key(cell, 'CO'), sid)
  if not caller then return end
  redis.call('HDEL', key(cell, 'CO'), sid)
  for one in string.gmatch(caller, '%S+') do redis.call('SREM', key(cell, 'C:' .. one), sid) end
end

-- [LCA2][LCA4]
local function isOneFull(cell, one, max)
  local set = key(cell, 'C:' .. one)
  if redis.call('SCARD', set) < max then return false end
  for _, sid in ipairs(redis.call('SRANDMEMBER', set, BOUNDS.callerLooks)) do
    local isThere = redis.call('HEXISTS', key(cell, 'H'), sid) == 1 or redis.call('HEXISTS', key(cell, 'TK'), sid) == 1
    if not isThere then
      forgetCaller(cell, sid)
      redis.call('SREM', set, sid)
    end
  end
  return redis.call('SCARD', set) >= max
end

-- [LCA5] The first word of `caller` has `max` places, the second `groupMax`.
local function isCallerFull(cell, caller, max, groupMax)
  if caller == nil or caller == '' then return false end
  local bound = max
  for one in string.gmatch(caller, '%S+') do
    if isOneFull(cell, one, bound) then return true end
    bound = groupMax
  end
  return false
end

-- Refusals are counted in slices of time.
local function countRefusal(cell)
  local slice = math.floor(cell.now / BOUNDS.refusalSliceMs)
  local name = string.format('%.0f', slice)
  if redis.call('HINCRBY', key(cell, 'RF'), name, 1) > 1 then return end
  for _, one in ipairs(redis.call('HKEYS', key(cell, 'RF'))) do
    if tonumber(one) <= slice - BOUNDS.refusalSlices then redis.call('HDEL', key(cell, 'RF'), one) end
  end
end

local function refusedLastMinute(cell)
  local slice = math.floor(cell.now / BOUNDS.refusalSliceMs)
  local slices = redis.call('HGETALL', key(cell, 'RF'))
  local sum = 0
  for i = 1, #slices, 2 do
    if tonumber(slices[i]) > slice - BOUNDS.refusalSlices then sum = sum + tonumber(slices[i + 1]) end
  end
  return sum
end
