-- What sets a cell up and keeps it true over time.

-- [LUP1] The leases of a set that are due, oldest end first.
local function dueOf(cell, set, max)
  if max <= 0 then return {} end
  return redis.call('ZRANGEBYSCORE', key(cell, set), '-inf', cell.now, 'LIMIT', 0, max)
end

-- [LUP2]
local function isMassExpiry(cell)
  if cell.mass then
    if cell.now < cell.mass then return true end
    if cell.now < cell.mass + cell.hard then return false end
  end
  local due, all = 0, 0
  for _, set in ipairs({ 'A', 'S' }) do
    due = due + redis.call('ZCOUNT', key(cell, set), '-inf', cell.now)
    all = all + redis.call('ZCARD', key(cell, set))
  end
  if due <= BOUNDS.massMin or due * 10 <= all * BOUNDS.massTenths then return false end
  put(cell, 'mass', cell.now + cell.ttl)
  return true
end

local function reapHeld(cell, max)
  local silent = dueOf(cell, 'A', max)
  local gone = dueOf(cell, 'S', max - #silent)
  for _, sid in ipairs(silent) do
    local lease = leaseOf(cell, sid)
    local ended = tonumber(redis.call('ZSCORE', key(cell, 'A'), sid))
    lease.state = 'S'
    writeLease(cell, lease, 'A', ended + cell.hard - cell.ttl)
  end
  for _, sid in ipairs(gone) do dropLease(cell, leaseOf(cell, sid)) end
  return silent, gone
end

-- args: most leases to take
register('reap', function(cell, args)
  if isDistrusted(cell) then return { 'time-gap', {}, {}, {} } end -- [LUP3]
  local max = math.min(tonumber(args[1]), BOUNDS.reapMax)
  local noShows, silent, gone, guard = dueOf(cell, 'R', max), {}, {}, 'none'
  for _, sid in ipairs(noShows) do dropLease(cell, leaseOf(cell, sid)) end
  if isMassExpiry(cell) then
    guard = 'mass-expiry'
  else
    silent, gone = reapHeld(cell, max - #noShows)
  end
  for _, sid in ipairs(dueOf(cell, 'QX', max)) do giveUpTicket(cell, ticketOf(cell, sid)) end
  forgetPods(cell, max)
  serveWaiting(cell)
  return { guard, noShows, silent, gone }
end)

-- [LM7] args: tenant, ms and millionths of each. SP:<day>: what tenants have spent; it ends two days later.
register('spend', function(cell, args)
  local day = math.floor(cell.now / 86400000)
  local hash = key(cell, string.format('SP:%.0f', day))
  local answer = { day }
  for i = 1, #args, 3 do
    for at, name in ipairs({ 'ms', 'millionths' }) do
      answer[#answer + 1] = redis.call('HINCRBY', hash, args[i] .. SEP .. name, args[i + at])
    end
  end
  if #args > 0 then redis.call('PEXPIRE', hash, 172800000) end
  return answer
end)

register('usage', function(cell)
  local pools, known = {}, {}
  for _, pool in ipairs(poolsOf(cell)) do
    known[pool.pool] = true
    pools[#pools + 1] = { pool.pool, callsOf(cell, 'PL', pool.pool), pool.callsMax }
  end
  local others = redis.call('HKEYS', key(cell, 'PL'))
  table.sort(others)
  for _, pool in ipairs(others) do
    if not known[pool] then pools[#pools + 1] = { pool, callsOf(cell, 'PL', pool), 0 } end
  end
  return {
    used(cell), redis.call('ZCARD', key(cell, 'R')), redis.call('ZCARD', key(cell, 'S')), cell.limit or 0,
    waiting(cell), refusedLastMinute(cell), pools, isRecovering(cell) and 1 or 0,
  }
end)

-- Guarantees that are not used, counted anew.
local function recountUnused(cell)
  local unused, limits = 0, redis.call('HGETALL', key(cell, 'LT'))
  for i = 1, #limits, 2 do
    local guaranteed = tonumber(string.match(limits[i + 1], '^%S+'))
    if guaranteed > 0 then unused = unused + math.max(0, guaranteed - callsOf(cell, 'T', limits[i])) end
  end
  return unused
end

-- [LCE1] The ceilings that stand. CE: pool → ceiling and when it ends.
local function settleCeilings(cell)
  local stand, kept = {}, {}
  for _, pool in ipairs(cjson.decode(cell.pools)) do
    local ceiling, ends = string.match(redis.call('HGET', key(cell, 'CE'), pool.pool) or '', '^(%S+) (%S+)$')
    ceiling, ends = tonumber(ceiling), tonumber(ends)
    if ends and ends <= cell.now then ceiling = nil end
    if pool.ceiling and pool.ceiling <= (ceiling or pool.ceiling) then
      ceiling, ends = pool.ceiling, cell.now + BOUNDS.ceilingMs
    end
    if ceiling then
      stand[pool.pool] = ceiling
      kept[#kept + 1] = pool.pool
      kept[#kept + 1] = string.format('%.0f %.0f', ceiling, ends)
    end
  end
  redis.call('DEL', key(cell, 'CE'))
  if #kept > 0 then redis.call('HSET', key(cell, 'CE'), unpack(kept)) end
  put(cell, 'ceilings', cjson.encode(stand))
  local limit = 0
  for _, pool in ipairs(poolsOf(cell)) do limit = limit + pool.callsMax end
  put(cell, 'limit', limit)
end

-- args: pools as JSON, limit, kept of inbound, kept of outbound, queueMax, other tenants, then each tenant and its limits
register('configure', function(cell, args)
  put(cell, 'pools', args[1])
  for i, field in ipairs({ 'limit', 'keepInbound', 'keepOutbound', 'queueMax' }) do put(cell, field, tonumber(args[i + 1])) end
  put(cell, 'other', args[6])
  settleCeilings(cell)
  redis.call('DEL', key(cell, 'LT'))
  for i = 7, #args, 2 do redis.call('HSET', key(cell, 'LT'), args[i], args[i + 1]) end
  cell.limits, cell.poolCalls = {}, nil
  local names = {}
  for _, pool in ipairs(poolsOf(cell)) do names[pool.pool] = true end
  for _, pool in ipairs(redis.call('HKEYS', key(cell, 'B'))) do
    if not names[pool] then redis.call('HDEL', key(cell, 'B'), pool) end
  end
  put(cell, 'unused', recountUnused(cell))
  local tags = redis.call('HGETALL', key(cell, 'QH'))
  for i = 1, #tags, 2 do fileTenant(cell, tags[i], tags[i + 1], callsOf(cell, 'T', tags[i])) end
  if not cell.recov then put(cell, 'recov', cell.now + cell.recovering) end -- [LC4]
  if not cell.rate then put(cell, 'rate', cell.limit / BOUNDS.callPriorSeconds) end
  serveWaiting(cell)
  return 'ok'
end)

-- Puts the counts of one kind right and says what differed.
local function heal(cell, kind, hash, truth, differences)
  local counted, names, seen = {}, {}, {}
  local pairsOf = redis.call('HGETALL', key(cell, hash))
  for i = 1, #pairsOf, 2 do counted[pairsOf[i]] = tonumber(pairsOf[i + 1]) end
  for _, counts in ipairs({ counted, truth }) do
    for name in pairs(counts) do
      if not seen[name] then names[#names + 1] = name end
      seen[name] = true
    end
  end
  table.sort(names)
  for _, name in ipairs(names) do
    local was, is = counted[name] or 0, truth[name] or 0
    if was ~= is then
      differences[#differences + 1] = string.format('%s %s: counted %d, held %d', kind, name, was, is)
      if is == 0 then redis.call('HDEL', key(cell, hash), name) else redis.call('HSET', key(cell, hash), name, is) end
    end
  end
end

-- A lease without an end gets one; an end without a lease goes.
local function healEnds(cell, leases, differences)
  local held = { R = cell.reserved, A = cell.ttl, S = cell.hard }
  for sid, lease in pairs(leases) do
    local set = SET_OF[lease.state]
    if not redis.call('ZSCORE', key(cell, set), sid) then
      differences[#differences + 1] = 'lease ' .. sid .. ': had no end'
      redis.call('ZADD', key(cell, set), cell.now + held[set], sid)
    end
  end
  for set in pairs(held) do
    for _, sid in ipairs(redis.call('ZRANGE', key(cell, set), 0, -1)) do
      local lease = leases[sid]
      if not lease or SET_OF[lease.state] ~= set then
        differences[#differences + 1] = 'lease ' .. sid .. ': an end without it'
        redis.call('ZREM', key(cell, set), sid)
      end
    end
  end
end

-- [LUP4] Walks through all leases: for a quiet minute, not for each second.
register('audit', function(cell)
  local tenants, pods, pools, leases, differences = {}, {}, {}, {}, {}
  local records = redis.call('HGETALL', key(cell, 'H'))
  for i = 1, #records, 2 do
    local lease = parseLease(records[i], records[i + 1])
    leases[lease.sid] = lease
    tenants[lease.tenant] = (tenants[lease.tenant] or 0) + 1
    pods[lease.pod] = (pods[lease.pod] or 0) + 1
    pools[lease.pool] = (pools[lease.pool] or 0) + 1
  end
  heal(cell, 'tenants', 'T', tenants, differences)
  heal(cell, 'pods', 'P', pods, differences)
  heal(cell, 'pools', 'PL', pools, differences)
  healEnds(cell, leases, differences)
  local unused = recountUnused(cell)
  if unused ~= cell.unused then
    differences[#differences + 1] = string.format('unused guarantees: counted %d, free %d', cell.unused, unused)
    put(cell, 'unused', unused)
  end
  if #differences > 0 then
    for _, pod in ipairs(redis.call('HKEYS', key(cell, 'PD'))) do placePod(cell, pod, pods[pod] or 0) end
    local tags = redis.call('HGETALL', key(cell, 'QH'))
    for i = 1, #tags, 2 do fileTenant(cell, tags[i], tags[i + 1], tenants[tags[i]] or 0) end
  end
  return differences
end)

-- args: the five times in ms, '1' for virtual time. A store that lives cannot become a virtual one.
redis.register_function('vp5_init', function(keys, args)
  if args[6] == '1' and redis.call('HEXISTS', keys[1], 'ttl') == 0 then redis.call('HSET', keys[1], 'virtual', 1) end
  for i, field in ipairs({ 'ttl', 'hard', 'reserved', 'recovering', 'ticket' }) do
    redis.call('HSET', keys[1], field, args[i])
  end
  return 'ok'
end)

-- Tests only. args: now in ms
redis.register_function('vp5_test_time', function(keys, args)
  if redis.call('HGET', keys[1], 'virtual') ~= '1' then return redis.error_reply('VPTIME the time here is real') end
  redis.call('HSET', keys[1], 'vt', args[1])
  return 'ok'
end)
