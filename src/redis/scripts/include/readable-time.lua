-- Histogram of the time from an event's acknowledgement to the commit that reflects it.

-- @include "clock"

-- Counts events acknowledged at `since` (microseconds) as readable now, in the all-time and the hourly histogram.
-- `bounds` lists the upper bounds in milliseconds, comma-separated and ascending.
local function countReadable(totalKey, hourKey, since, events, bounds, hourTtlMs)
  if events <= 0 then return end
  local ms = math.max(0, math.floor((nowMicros() - since) / 1000))
  local bucket = 'more'
  for bound in string.gmatch(bounds, '%d+') do
    if ms <= tonumber(bound) then bucket = bound break end
  end
  for _, key in ipairs({ totalKey, hourKey }) do
    redis.call('HINCRBY', key, bucket, events)
    redis.call('HINCRBY', key, 'sum', ms * events)
  end
  redis.call('PEXPIRE', hourKey, hourTtlMs)
end
