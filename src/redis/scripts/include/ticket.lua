-- Tickets are fencing tokens. Events and refreshes draw from one counter, so comparing two tickets tells whether an
-- event was acknowledged before a refresh began. Tickets count draws: no step of a clock touches their order.

-- @include "clock"

-- Tickets skipped when another Redis process has the data, after a restart, a failover or a restored backup. Its data
-- can lack the last draws of the former process, whose refreshes can still commit. More tickets than a process draws in a
-- day, and 2^53 leaves room for millions of restarts.
local lostAtMost = 2 ^ 30

-- Draws `count` consecutive tickets (default 1). Returns the first one and the current time in microseconds.
-- `runKey` holds the run id of the process that drew last. Without a counter, tickets start at the clock: every ticket of
-- an earlier counter is below it.
local function drawTicket(counterKey, runKey, count)
  local now = nowMicros()
  local run = string.match(redis.call('INFO', 'server'), 'run_id:(%w+)') or ''
  local last = tonumber(redis.call('GET', counterKey) or nil) or now
  local lastRun = redis.call('GET', runKey)
  if lastRun ~= run then
    if lastRun then last = last + lostAtMost end
    redis.call('SET', runKey, run)
  end
  redis.call('SET', counterKey, string.format('%.0f', last + (count or 1)))
  return last + 1, now
end
