-- Notes that users are active, and forgets those who are not any more.
--
-- KEYS[1]  sorted set: user id -> last activity in milliseconds since the epoch
-- KEYS[2]  sorted set: user id -> last check in milliseconds since the epoch, 0 before the first one
-- KEYS[3]  hash: user id -> when the user became active, in milliseconds since the epoch
-- ARGV[1]  milliseconds for which a user counts as active
-- ARGV[2]  most users to keep
-- ARGV[3..]  user ids
-- Answer   none

-- @include "clock"

local now = math.floor(nowMicros() / 1000)

-- Times ahead of the clock stem from before it stepped back. Those users would take the places of users who become active,
-- and would not be checked, until the clock is there again.
for _, key in ipairs({ KEYS[1], KEYS[2] }) do
  for _, user in ipairs(redis.call('ZRANGEBYSCORE', key, '(' .. now, '+inf')) do
    redis.call('ZADD', key, now - 1, user)
  end
end

for index = 3, #ARGV do
  redis.call('ZADD', KEYS[1], 'GT', now, ARGV[index])
  if redis.call('ZADD', KEYS[2], 'NX', 0, ARGV[index]) == 1 then redis.call('HSET', KEYS[3], ARGV[index], now) end
end

local function forget(users)
  for _, user in ipairs(users) do
    redis.call('ZREM', KEYS[1], user)
    redis.call('ZREM', KEYS[2], user)
    redis.call('HDEL', KEYS[3], user)
  end
end

forget(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now - tonumber(ARGV[1])))
local excess = redis.call('ZCARD', KEYS[1]) - tonumber(ARGV[2])
if excess > 0 then forget(redis.call('ZRANGE', KEYS[1], 0, excess - 1)) end
redis.call('PEXPIRE', KEYS[1], ARGV[1])
redis.call('PEXPIRE', KEYS[2], ARGV[1])
redis.call('PEXPIRE', KEYS[3], ARGV[1])
