-- Takes one call from the budget, or says how long to wait.
-- Bulk work and requests of readers must leave a quarter of the rate and of the concurrency unused, so that refreshes
-- triggered by webhooks never wait behind them. Requests have a bucket of their own in addition, which fills with half
-- of what the whole budget gains, so that bulk work proceeds whatever readers ask for.
--
-- KEYS[1]  hash: state of the token bucket and the end of a pause
-- KEYS[2]  sorted set: lease of a running call -> its expiry
-- KEYS[3]  marker of a limit on the subject of the call
-- ARGV[1]  calls per minute
-- ARGV[2]  calls at once
-- ARGV[3]  priority: 'webhook', 'request' or 'bulk'
-- ARGV[4]  id of the new lease
-- ARGV[5]  lifetime of the lease in milliseconds
-- Answer   { 1 if the call was granted else 0, milliseconds to wait, 1 if only the subject is limited else 0 }

-- @include "call-budget"

local atOnce = tonumber(ARGV[2])
local budget = readBudget(KEYS[1], KEYS[2], tonumber(ARGV[1]), atOnce)
if budget.pausedMs > 0 then return { 0, math.ceil(budget.pausedMs), 0 } end
local limitedMs = redis.call('PTTL', KEYS[3])
if limitedMs > 0 then return { 0, limitedMs, 1 } end

-- The gain since the last call, not a clock of its own: it needs no care when clocks step.
local stored = redis.call('HMGET', KEYS[1], 'level', 'requestLevel')
local gained = math.max(0, budget.level - tonumber(stored[1] or budget.capacity))
local requestLevel = math.min(budget.capacity / 2, tonumber(stored[2] or budget.capacity / 2) + gained / 2)
if budget.level >= budget.capacity then requestLevel = budget.capacity / 2 end
if ARGV[3] == 'request' then
  if requestLevel < 1 then return { 0, math.ceil((1 - requestLevel) / (budget.rate / 2)), 0 } end
  requestLevel = requestLevel - 1
end

local needed, places = 1, atOnce
if ARGV[3] ~= 'webhook' then
  needed = math.min(budget.capacity, 1 + budget.capacity / 4)
  places = math.max(1, math.floor(atOnce * 3 / 4))
end
if budget.level < needed then return { 0, math.ceil((needed - budget.level) / budget.rate), 0 } end
-- When a call ends is unknown. A process wakes its own waiters; 25 ms is how often it checks for calls of other processes.
if budget.inUse >= places then return { 0, 25, 0 } end

redis.call(
  'HSET', KEYS[1],
  'level', tostring(budget.level - 1),
  'requestLevel', tostring(requestLevel),
  'at', string.format('%.3f', budget.now)
)
redis.call('HINCRBY', KEYS[1], 'calls', 1)
redis.call('ZADD', KEYS[2], budget.now + tonumber(ARGV[5]), ARGV[4])
return { 1, 0, 0 }
