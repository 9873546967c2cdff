-- A token bucket, the leases of running calls and the end of a pause.

-- @include "clock"

-- Reads the budget and removes expired leases. Times are in milliseconds, `rate` is in calls per millisecond.
local function readBudget(stateKey, leasesKey, perMinute, atOnce)
  local now = nowMicros() / 1000
  local state = redis.call('HMGET', stateKey, 'level', 'at', 'pausedUntil')
  -- Capacity plus one minute's refill equals the limit per minute. A burst gets ten seconds' worth, at most half of it.
  local capacity = math.max(1, math.min(math.max(atOnce, perMinute / 6), perMinute / 2))
  local rate = math.max(perMinute - capacity, perMinute / 2) / 60000
  -- Redis' clock can step back at a failover.
  local elapsed = math.max(0, now - tonumber(state[2] or now))
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
