-- Stops calls about one subject after a 429, or all calls if the limit seems to be everybody's: several subjects in a row were
-- refused, and few calls were granted between one and the next.
--
-- KEYS[1]  hash: state of the token bucket, the end of a pause and the number of granted calls
-- KEYS[2]  sorted set: lease of a running call -> its expiry
-- KEYS[3]  sorted set: limited subject -> end of its limit in milliseconds
-- KEYS[4]  marker of the limit on the subject, which holds its length in milliseconds
-- ARGV[1]  subject
-- ARGV[2]  length of the limit in milliseconds
-- ARGV[3]  granted calls that end a row: Kinde answers others
-- ARGV[4]  subjects in a row that pause all calls
-- Answer   1 if all calls are paused, 0 if only the subject is limited

-- @include "call-budget"

local now, length = followClock(KEYS[1], KEYS[2], KEYS[3]), tonumber(ARGV[2])
redis.call('ZREMRANGEBYSCORE', KEYS[3], '-inf', now)
local state = redis.call('HMGET', KEYS[1], 'calls', 'callsAtLimit', 'limitedInRow', 'pausedUntil')
local calls, before, inRow = tonumber(state[1] or '0'), tonumber(state[2] or '0'), tonumber(state[3] or '0')
if redis.call('ZCARD', KEYS[3]) == 0 or calls - before >= tonumber(ARGV[3]) then inRow = 0 end
-- Several calls about one subject can be refused at the same moment.
if not redis.call('ZSCORE', KEYS[3], ARGV[1]) then inRow = inRow + 1 end
redis.call('HSET', KEYS[1], 'callsAtLimit', calls, 'limitedInRow', inRow)
redis.call('ZADD', KEYS[3], 'GT', now + length, ARGV[1])
redis.call('PEXPIRE', KEYS[3], math.max(length, redis.call('PTTL', KEYS[3])))
redis.call('SET', KEYS[4], ARGV[2], 'PX', length)

if inRow < tonumber(ARGV[4]) then return 0 end
local pausedUntil = math.max(tonumber(state[4] or '0'), now + length)
redis.call('HSET', KEYS[1], 'pausedUntil', string.format('%.0f', pausedUntil))
return 1
