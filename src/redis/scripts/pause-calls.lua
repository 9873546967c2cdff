-- Pauses all calls. If a longer pause is in effect, it stays.
--
-- KEYS[1]  hash: state of the token bucket and the end of a pause
-- KEYS[2]  sorted set: lease of a running call -> its expiry
-- KEYS[3]  sorted set: limited subject -> end of its limit in milliseconds
-- ARGV[1]  length of the pause in milliseconds
-- Answer   none

-- @include "call-budget"

local now = followClock(KEYS[1], KEYS[2], KEYS[3])
local pausedUntil = tonumber(redis.call('HGET', KEYS[1], 'pausedUntil') or '0')
pausedUntil = math.max(pausedUntil, now + tonumber(ARGV[1]))
redis.call('HSET', KEYS[1], 'pausedUntil', string.format('%.0f', pausedUntil))
