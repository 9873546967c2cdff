-- Takes the absent users that are due for another look, and postpones their next one in case this one gets lost.
-- A user without a noted absence is returned once more, and leaves the schedule.
--
-- KEYS[1]  sorted set: user -> when to look again, in milliseconds
-- KEYS[2]  hash: user -> absence (JSON)
-- ARGV[1]  most users to take
-- ARGV[2]  gap between two looks in milliseconds
-- Answer   the users

-- @include "clock"

local now = math.floor(nowMicros() / 1000)
local due = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, ARGV[1])
for _, user in ipairs(due) do
  if redis.call('HEXISTS', KEYS[2], user) == 1 then
    redis.call('ZADD', KEYS[1], now + tonumber(ARGV[2]), user)
  else
    redis.call('ZREM', KEYS[1], user)
  end
end
return due
