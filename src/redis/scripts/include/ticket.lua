-- Tickets are fencing tokens. Events and refreshes draw from one counter, so comparing two tickets tells whether an
-- event was acknowledged before a refresh began.

-- @include "clock"

-- Draws `count` consecutive tickets (default 1). Returns the first ticket and the current time in microseconds.
-- A ticket is later than the last one and not before the clock: tickets keep growing even if Redis lost its last writes.
local function drawTicket(counterKey, count)
  local now = nowMicros()
  local first = math.max(tonumber(redis.call('GET', counterKey) or '0') + 1, now)
  redis.call('SET', counterKey, string.format('%.0f', first + (count or 1) - 1))
  return first, now
end
