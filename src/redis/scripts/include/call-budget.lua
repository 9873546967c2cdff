-- A token bucket, the leases of running calls and the end of a pause.

-- @include "clock"

-- Moves all times along if Redis' clock stepped back since it was last read here: otherwise the bucket would stay empty,
-- and pauses and leases would last, until the clock is there again. Returns the time in milliseconds.
local function followClock(stateKey, leasesKey)
  local now = nowMicros() / 1000
  local at, pausedUntil = unpack(redis.call('HMGET', stateKey, 'at', 'pausedUntil'))
  local stepped = tonumber(at or now) - now
  if stepped <= 0 then return now end
  redis.call('HSET', stateKey, 'at', string.format('%.3f', now))
  if pausedUntil then redis.call('HSET', stateKey, 'pausedUntil', string.format('%.0f', pausedUntil - stepped)) end
  for _, lease in ipairs(redis.call('ZRANGE', leasesKey, 0, -1)) do redis.call('ZINCRBY', leasesKey, -stepped, lease) end
  return now
end

-- Refills the bucket and removes expired leases. Times are in milliseconds, `rate` is in calls per millisecond.
local function readBudget(stateKey, leasesKey, perMinute, atOnce)
  local now = followClock(stateKey, leasesKey)
  local state = redis.call('HMGET', stateKey, 'level', 'at', 'pausedUntil')
  -- Capacity plus one minute's refill equals the limit per minute. A burst gets ten seconds' worth, at most half of it.
  local capacity = math.max(1, math.min(math.max(atOnce, perMinute / 6), perMinute / 2))
  local rate = math.max(perMinute - capacity, perMinute / 2) / 60000
  local level = math.min(capacity, tonumber(state[1] or capacity) + (now - tonumber(state[2] or now)) * rate)
  redis.call('HSET', stateKey, 'level', tostring(level), 'at', string.format('%.3f', now))
  redis.call('ZREMRANGEBYSCORE', leasesKey, '-inf', now)
  return {
    now = now,
    pausedMs = math.max(0, tonumber(state[3] or '0') - now),
    capacity = capacity,
    rate = rate,
    level = level,
    inUse = redis.call('ZCARD', leasesKey),
  }
end
