-- The operations on calls.

local function refuse(cell, reason)
  countRefusal(cell)
  return { 'refused', reason }
end

local function queueUp(cell, sid, tenant, class, caller)
  if waiting(cell) >= cell.queueMax then return refuse(cell, 'queue-full') end
  enterLine(cell, sid, tenant, class)
  rememberCaller(cell, sid, caller)
  return { 'queued', outlook(cell, { sid = sid, tenant = tenant }) }
end

-- args: Call SID, tenant, class, '1' when the caller may wait, the caller ('' for none), places of a caller, and of its group
register('acquire', function(cell, args)
  local sid, tenant, class, caller = args[1], args[2], args[3], args[5]
  local known = leaseOf(cell, sid)
  if known then return tell(cell, 'repeated', known) end
  local ticket = touchTicket(cell, sid)
  serveWaiting(cell)
  if ticket then
    local lease = leaseOf(cell, sid)
    if lease then return tell(cell, 'granted', lease) end
    return { 'queued', outlook(cell, ticket) }
  end
  local mayWait = args[4] == '1'
  if isCallerFull(cell, caller, tonumber(args[6]), tonumber(args[7])) then return refuse(cell, 'caller-full') end
  if isRecovering(cell) then -- [LC4]
    if mayWait and cell.recov then return queueUp(cell, sid, tenant, class, caller) end
    return refuse(cell, 'recovering')
  end
  local kind, pod, pool = 'full', nil, nil
  local isBehind = waiting(cell) > 0 and redis.call('HEXISTS', key(cell, 'QH'), tenant) == 1 -- [LQ1]
  if not isBehind then kind, pod, pool = findRoom(cell, tenant, class) end
  if kind == 'room' then
    rememberCaller(cell, sid, caller)
    return grantOf(cell, 'granted', reserve(cell, sid, tenant, pod, pool, 'R'))
  end
  if not mayWait or kind == 'no-pod' then return refuse(cell, kind) end
  return queueUp(cell, sid, tenant, class, caller)
end)

-- [LM3] args: Call SID, epoch, pod
register('activate', function(cell, args)
  local lease = leaseOf(cell, args[1])
  if not lease then return { 'unknown' } end
  if lease.epoch ~= tonumber(args[2]) then return { 'fenced', lease.epoch } end
  if isOpened(lease) then return { 'used' } end
  movePod(cell, lease, args[3])
  holdLease(cell, lease)
  return grantOf(cell, 'activated', lease)
end)

-- [LM4] args: pod, then Call SID and epoch of each lease. The common case compares a text and writes nothing but the end.
register('renew', function(cell, args)
  local pod, sids = args[1], {}
  for i = 2, #args, 2 do sids[i / 2] = args[i] end
  local unknown, fenced, ends = {}, {}, {}
  local records = redis.call('HMGET', key(cell, 'H'), unpack(sids))
  local untilMs = string.format('%.0f', cell.now + cell.ttl)
  for i, sid in ipairs(sids) do
    local epoch, record = args[i * 2 + 1], records[i]
    local own = 'A' .. epoch .. SEP .. pod .. SEP
    if record and string.sub(record, 1, #own) == own then
      ends[#ends + 1] = untilMs
      ends[#ends + 1] = sid
    else
      local lease = record and parseLease(sid, record)
      epoch = tonumber(epoch)
      if not lease or lease.epoch < epoch then
        unknown[#unknown + 1] = sid
      elseif lease.epoch > epoch then
        fenced[#fenced + 1] = sid
      elseif lease.pod == pod then
        holdLease(cell, lease)
      elseif isOpened(lease) then
        fenced[#fenced + 1] = sid
      else
        unknown[#unknown + 1] = sid
      end
    end
  end
  if #ends > 0 then redis.call('ZADD', key(cell, 'A'), unpack(ends)) end
  return { unknown, fenced }
end)

-- A call that is live needs no slot; it cannot wait at the same time.
local function addUnbacked(cell, lease, untilMs, caller)
  local ticket = ticketOf(cell, lease.sid)
  if ticket then leaveLine(cell, ticket) end
  lease.unbacked = '1'
  addLease(cell, lease, untilMs)
  rememberCaller(cell, lease.sid, caller)
end

-- args: pod, then Call SID, epoch, tenant, pool and caller of each lease
register('reassert', function(cell, args)
  local pod, fenced = args[1], {}
  for i = 2, #args, 5 do
    local sid, epoch, tenant, pool, caller = args[i], tonumber(args[i + 1]), args[i + 2], args[i + 3], args[i + 4]
    local lease = leaseOf(cell, sid)
    if not lease then
      local made = { sid = sid, state = 'A', epoch = epoch, pod = pod, pool = pool, tenant = tenant }
      addUnbacked(cell, made, cell.now + cell.ttl, caller)
    elseif lease.epoch > epoch or (lease.epoch == epoch and lease.pod ~= pod and isOpened(lease)) then
      fenced[#fenced + 1] = sid
    else
      count(cell, lease, -1)
      lease.tenant, lease.pod, lease.pool, lease.epoch = tenant, pod, pool, epoch
      count(cell, lease, 1)
      holdLease(cell, lease)
      rememberCaller(cell, sid, caller)
    end
  end
  return fenced
end)

-- args: Call SID, epoch
register('release', function(cell, args)
  local lease = leaseOf(cell, args[1])
  if not lease then return 'unknown' end
  if lease.epoch ~= tonumber(args[2]) then return 'fenced' end
  dropLease(cell, lease)
  serveWaiting(cell)
  return 'released'
end)

-- [LM5] args: Call SID, from epoch, tenant, pool, pod to avoid, pod to prefer, caller; '' for none
register('transfer', function(cell, args)
  local sid, epoch = args[1], tonumber(args[2]) + 1
  local lease = leaseOf(cell, sid)
  if lease and lease.epoch >= epoch then
    if lease.epoch == epoch and lease.state == 'R' then return grantOf(cell, 'repeated', lease) end
    return { 'fenced', lease.epoch }
  end
  local pod = pickResumePod(cell, args[5], args[6], lease and lease.pod)
  if not pod then return { 'refused', 'no-pod' } end
  local kind, untilMs = 'transferred', cell.now + cell.reserved
  if lease then
    local before = lease.state
    movePod(cell, lease, pod)
    lease.epoch, lease.state = epoch, 'R'
    writeLease(cell, lease, before, untilMs)
  else
    kind = 'unbacked'
    lease = { sid = sid, state = 'R', epoch = epoch, pod = pod, pool = poolOfResume(cell, args[4]), tenant = args[3] }
    addUnbacked(cell, lease, untilMs, args[7])
  end
  spendConnect(cell, lease.pool)
  return grantOf(cell, kind, lease)
end)

-- [LM6] args: Call SID, epoch, pool
register('move_pool', function(cell, args)
  local lease, pool = leaseOf(cell, args[1]), args[3]
  if not lease then return { 'unknown' } end
  if lease.epoch ~= tonumber(args[2]) then return { 'fenced', lease.epoch } end
  if lease.pool == pool then return { 'moved' } end
  local calls = poolFigures(cell)
  local isFree = false
  for _, one in ipairs(poolsOf(cell)) do
    if one.pool == pool then isFree = hasRoom(one, calls[pool]) end
  end
  if not isFree then return { 'full' } end
  countPool(cell, lease.pool, -1)
  countPool(cell, pool, 1)
  lease.pool = pool
  redis.call('HSET', key(cell, 'H'), lease.sid, recordOf(lease))
  spendConnect(cell, pool)
  serveWaiting(cell)
  return { 'moved' }
end)

-- args: Call SIDs. Changes nothing; those without a lease are left out.
register('look', function(cell, args)
  local held, seen = { A = cell.ttl, S = cell.hard }, {}
  if #args == 0 then return seen end
  for i, record in ipairs(redis.call('HMGET', key(cell, 'H'), unpack(args))) do
    if record then
      local lease, silent = parseLease(args[i], record), 0
      if held[lease.state] then
        local untilMs = tonumber(redis.call('ZSCORE', key(cell, lease.state), lease.sid) or cell.now)
        silent = math.max(0, cell.now - (untilMs - held[lease.state]))
      end
      seen[#seen + 1] = { lease.sid, lease.epoch, lease.pod, lease.state, silent }
    end
  end
  return seen
end)

-- args: Call SID
register('poll', function(cell, args)
  local ticket = touchTicket(cell, args[1])
  serveWaiting(cell)
  local lease = leaseOf(cell, args[1])
  if lease then return tell(cell, 'granted', lease) end
  if not ticket then return { 'gone' } end
  local ahead, etaMs = outlook(cell, ticket)
  return { 'waiting', ahead, etaMs, cell.now - ticket.since }
end)

-- args: Call SID
register('leave', function(cell, args)
  local ticket = ticketOf(cell, args[1])
  if ticket then giveUpTicket(cell, ticket) end
  local lease = leaseOf(cell, args[1])
  if lease and lease.epoch == 1 and not isOpened(lease) then
    dropLease(cell, lease)
    serveWaiting(cell)
  end
  return 'ok'
end)
