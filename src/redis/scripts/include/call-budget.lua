-- A token bucket, the leases of running calls, the limits of subjects and the end of a pause.

-- @include "clock"

-- Moves all times along if Redis' clock stepped back since it was last read here: otherwise the bucket would stay empty,
-- and pauses, leases and limits would last, until the clock is there again. Returns the time in milliseconds.
local function followClock(stateKey, leasesKey, limitedKey)
  local now = nowMicros() / 1000
  local seen, at = unpack(redis.call('HMGET', stateKey, 'seen', 'at'))
  redis.call('HSET', stateKey, 'seen', string.format('%.3f', now))
  -- Releases before 0.2 store no `seen`.
  local stepped = math.max(tonumber(seen or now), tonumber(at or now)) - now
  if stepped <= 0 then return now end
  if at then redis.call('HSET', stateKey, 'at', string.format('%.3f', at - stepped)) end
  for _, field in ipairs({ 'pausedUntil', 'bulkUntil' }) do
    local ending = redis.call('HGET', stateKey, field)
    if ending then redis.call('HSET', stateKey, field, string.format('%.0f', ending - stepped)) end
  end
  for _, key in ipairs({ leasesKey, limitedKey }) do
    for _, member in ipairs(redis.call('ZRANGE', key, 0, -1)) do redis.call('ZINCRBY', key, -stepped, member) end
  end
  return now
end

-- Reads the budget and removes expired leases. Times are in milliseconds, `rate` is in calls per millisecond.
local function readBudget(stateKey, leasesKey, limitedKey, perMinute, atOnce)
  local now = followClock(stateKey, leasesKey, limitedKey)
  local state = redis.call('HMGET', stateKey, 'level', 'at', 'pausedUntil')
  -- Capacity plus one minute's refill equals the limit per minute. A burst gets ten seconds' worth, at most half of it.
  local capacity = math.max(1, math.min(math.max(atOnce, perMinute / 6), perMinute / 2))
  local rate = math.max(perMinute - capacity, perMinute / 2) / 60000
  local elapsed = now - tonumber(state[2] or now)
  redis.call('ZREMRANGEBYSCORE', leasesKey, '-inf', now)
  return {
    now = now,
    pausedMs = math.max(0, tonumber(state[3] or '0') - now),
    capacity = capacity,
    rate = rate,
    level = math.min(capacity, tonumber(state[1] or capacity) + elapsed * rate),
    inUse = redis.call('ZCARD', leasesKey),
  }
end
