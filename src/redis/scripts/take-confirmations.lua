-- Takes members whose confirming refresh is due, for a limited time: if nothing comes of it, they can be taken again then.
-- Members whose job gave up are left to the watch over the ledger.
-- A due time too far ahead stems from a clock that stepped back since, and is corrected to the latest possible time.
--
-- KEYS[1]  sorted set: member -> when its confirming refresh is due, in microseconds
-- KEYS[2]  sorted set: taken member -> when it can be taken again, in microseconds
-- KEYS[3]  hash: member -> failure
-- ARGV[1]  how many members at most
-- ARGV[2]  how long they are taken for, in microseconds
-- ARGV[3]  how far ahead a due time can be, in microseconds
-- Answer   { milliseconds until the next one is due, or -1 if none is; member, ... }: those due for longest first

-- @include "clock"

local now, limit = nowMicros(), tonumber(ARGV[1])
local latest, ending = string.format('%.0f', now + ARGV[3]), string.format('%.0f', now + ARGV[2])
for _, member in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '(' .. latest, '+inf', 'LIMIT', 0, limit)) do
  redis.call('ZADD', KEYS[1], latest, member)
end
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', string.format('%.0f', now))
redis.call('ZREMRANGEBYSCORE', KEYS[2], '(' .. ending, '+inf')
local due = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', now), 'LIMIT', 0,
  limit + redis.call('ZCARD', KEYS[2]))
local next = redis.call('ZRANGEBYSCORE', KEYS[1], '(' .. string.format('%.0f', now), '+inf', 'WITHSCORES', 'LIMIT', 0, 1)
local answer = { next[2] and math.ceil((next[2] - now) / 1000) or -1 }
for _, member in ipairs(due) do
  if #answer > limit then break end
  if redis.call('ZADD', KEYS[2], 'NX', ending, member) == 1 and redis.call('HEXISTS', KEYS[3], member) == 0 then
    answer[#answer + 1] = member
  end
end
return answer
