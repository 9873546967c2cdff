-- Histogram of the time from an event's acknowledgement to the commit that reflects it.

-- @include "clock"

-- Counts events as readable now, in the all-time and the hourly histogram. `times` says when the first of them were
-- acknowledged, in microseconds, and `since` when the first one was. The others came after the last of `times`.
-- `bounds` lists the upper bounds in milliseconds, comma-separated and ascending.
local function countReadable(totalKey, hourKey, times, since, events, bounds, hourTtlMs)
  if events <= 0 then return end
  local now, counts, sum, limits = nowMicros(), {}, 0, {}
  for bound in string.gmatch(bounds, '%d+') do limits[#limits + 1] = tonumber(bound) end
  local function count(time, number)
    local ms = math.max(0, math.floor((now - math.max(time, since)) / 1000))
    local bucket = 'more'
    for _, limit in ipairs(limits) do
      if ms <= limit then bucket = limit break end
    end
    counts[bucket] = (counts[bucket] or 0) + number
    sum = sum + ms * number
  end
  local known = math.min(#times, events)
  for event = 1, known do count(times[event], 1) end
  if known < events then count(times[known] or since, events - known) end
  for _, key in ipairs({ totalKey, hourKey }) do
    for bucket, number in pairs(counts) do redis.call('HINCRBY', key, bucket, number) end
    redis.call('HINCRBY', key, 'sum', string.format('%.0f', sum))
  end
  redis.call('PEXPIRE', hourKey, hourTtlMs)
end
