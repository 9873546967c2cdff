-- Reads members of a sorted set whose scores are times in microseconds, earliest first.
-- A score too far ahead stems from a clock that stepped back since, and would hide its member until the clock is there
-- again. It is corrected to the latest possible time.
--
-- KEYS[1]  sorted set: member -> time
-- ARGV[1]  where to start: a time
-- ARGV[2]  members of that time to skip
-- ARGV[3]  how long ago the time must be, in microseconds
-- ARGV[4]  how far ahead a time can be, in microseconds
-- ARGV[5]  how many members at most
-- Answer   { current time, member, time, member, time, ... }

-- @include "clock"

local now = nowMicros()
local latest = string.format('%.0f', now + ARGV[4])
for _, member in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '(' .. latest, '+inf', 'LIMIT', 0, ARGV[5])) do
  redis.call('ZADD', KEYS[1], latest, member)
end
local youngest = string.format('%.0f', now - ARGV[3])
local answer = redis.call('ZRANGEBYSCORE', KEYS[1], ARGV[1], youngest, 'WITHSCORES', 'LIMIT', ARGV[2], ARGV[5])
table.insert(answer, 1, string.format('%.0f', now))
return answer
