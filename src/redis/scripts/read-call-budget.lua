-- Reads the state of the call budget.
--
-- KEYS[1]  hash: state of the token bucket and the end of a pause
-- KEYS[2]  sorted set: lease of a running call -> its expiry
-- KEYS[3]  sorted set: limited subject -> end of its limit in milliseconds
-- ARGV[1]  calls per minute
-- ARGV[2]  calls at once
-- Answer   { milliseconds until a pause ends, running calls, calls that could start now, limited subjects }

-- @include "call-budget"

local atOnce = tonumber(ARGV[2])
local budget = readBudget(KEYS[1], KEYS[2], KEYS[3], tonumber(ARGV[1]), atOnce)
local available = math.floor(math.max(0, math.min(budget.level, atOnce - budget.inUse)))
return { math.ceil(budget.pausedMs), budget.inUse, available, redis.call('ZCOUNT', KEYS[3], budget.now, '+inf') }
