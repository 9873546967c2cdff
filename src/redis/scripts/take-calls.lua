-- Takes calls from the budget in the order of their callers, and says how long those must wait that get none.
-- Bulk work and requests of readers must leave a quarter of the burst and of the concurrency unused, so that refreshes
-- triggered by webhooks never wait behind them. Requests have a bucket of their own in addition, which fills with half
-- of what the whole budget gains, so that bulk work proceeds whatever readers ask for. Nor do events stop bulk work: once
-- the budget has gained ten calls since bulk work got one, the others leave it a call and a place.
--
-- KEYS[1]    hash: state of the token bucket and the end of a pause
-- KEYS[2]    sorted set: lease of a running call -> its expiry
-- KEYS[3]    sorted set: limited subject -> end of its limit in milliseconds
-- KEYS[4..]  per call: marker of a limit on its subject, which holds its length in milliseconds
-- ARGV[1]    calls per minute
-- ARGV[2]    calls at once
-- ARGV[3]    priority: 'webhook', 'request' or 'bulk'
-- ARGV[4]    lifetime of a lease in milliseconds
-- ARGV[5..]  per call: id of its new lease; then leases of calls that have ended
-- Answer     { milliseconds to wait for the calls that are not granted, 1 if they wait for another call to end else 0,
--            per call: 0 if granted, -1 if not, otherwise for how many milliseconds its subject is limited }

-- @include "call-budget"
-- @include "lifetime"

local atOnce, calls = tonumber(ARGV[2]), #KEYS - 3
if #ARGV > 4 + calls then redis.call('ZREM', KEYS[2], unpack(ARGV, 5 + calls)) end
local budget = readBudget(KEYS[1], KEYS[2], KEYS[3], tonumber(ARGV[1]), atOnce)
local answer = { 0, 0 }
if budget.pausedMs > 0 then
  answer[1] = math.ceil(budget.pausedMs)
  for call = 1, calls do answer[2 + call] = -1 end
  return answer
end

local bulkShare = 0.1
-- How long after it was to ask again bulk work counts as waiting.
local bulkGraceMs = 2000
-- When a call ends is unknown. A process asks again when one of its own ends; this is how often it checks for others.
local placeMs = 25

-- The gain since the last call, not a clock of its own: it needs no care when clocks step.
local stored = redis.call('HMGET', KEYS[1], 'level', 'requestLevel', 'bulkLevel', 'bulkUntil')
local level = budget.level
local gained = math.max(0, level - tonumber(stored[1] or budget.capacity))
-- At least a call, however small the budget is: otherwise no request would ever get one.
local requestCapacity = math.max(1, budget.capacity / 2)
local requestLevel = math.min(requestCapacity, tonumber(stored[2] or requestCapacity) + gained / 2)
if level >= budget.capacity then requestLevel = requestCapacity end
local bulkLevel = math.min(1, tonumber(stored[3] or '0') + gained * bulkShare)

-- Returns whether bulk work may have one of the places that it leaves to others.
local function isBulkOwedPlace()
  local own = 0
  for _, lease in ipairs(redis.call('ZRANGE', KEYS[2], 0, -1)) do
    if lease:sub(1, 5) == 'bulk:' then own = own + 1 end
  end
  return own < math.max(1, atOnce * bulkShare)
end

-- How full the bucket must be for a call, and how many calls may run.
local needed, places = 1, atOnce
if ARGV[3] == 'webhook' then
  local bulkUntil = tonumber(stored[4] or '0')
  if bulkLevel >= 1 and bulkUntil > budget.now then
    needed = math.min(budget.capacity, 2)
    local isForPlace = bulkUntil <= budget.now + placeMs + bulkGraceMs
    if isForPlace and isBulkOwedPlace() then places = atOnce - 1 end
  end
else
  needed = math.min(budget.capacity, 1 + budget.capacity / 4)
  places = math.max(1, math.floor(atOnce * 3 / 4))
end

-- Returns for how many milliseconds the marker stops calls.
local function limitOf(marker)
  local length = redis.call('GET', marker)
  -- Releases before 0.3 store a 1.
  return length and cutLifetime(marker, length == '1' and math.huge or length) or 0
end

local anyLimited = redis.call('EXISTS', KEYS[3]) == 1
local leases, expiry, refused = {}, budget.now + tonumber(ARGV[4]), false
for call = 1, calls do
  local limitedMs = anyLimited and limitOf(KEYS[3 + call]) or 0
  local isOwed = ARGV[3] == 'bulk' and bulkLevel >= 1
  if limitedMs > 0 then
    answer[2 + call] = limitedMs
  elseif refused then
    answer[2 + call] = -1
  elseif ARGV[3] == 'request' and requestLevel < 1 then
    answer[1], answer[2 + call], refused = math.ceil((1 - requestLevel) / (budget.rate / 2)), -1, true
  elseif level < (isOwed and 1 or needed) then
    local short = needed - level
    if ARGV[3] == 'bulk' then short = math.min(short, math.max(1 - level, (1 - bulkLevel) / bulkShare)) end
    answer[1], answer[2 + call], refused = math.ceil(short / budget.rate), -1, true
  elseif budget.inUse >= atOnce or (budget.inUse >= places and not (isOwed and isBulkOwedPlace())) then
    answer[1], answer[2], answer[2 + call], refused = placeMs, 1, -1, true
  else
    answer[2 + call] = 0
    level, budget.inUse = level - 1, budget.inUse + 1
    if ARGV[3] == 'request' then requestLevel = requestLevel - 1 end
    if ARGV[3] == 'bulk' then bulkLevel = math.max(0, bulkLevel - 1) end
    leases[#leases + 1] = expiry
    leases[#leases + 1] = ARGV[4 + call]
  end
end
if ARGV[3] == 'bulk' and refused then
  redis.call('HSET', KEYS[1], 'bulkUntil', string.format('%.0f', budget.now + answer[1] + bulkGraceMs))
elseif ARGV[3] == 'bulk' and stored[4] then
  redis.call('HDEL', KEYS[1], 'bulkUntil')
end
if #leases == 0 then return answer end

redis.call(
  'HSET', KEYS[1],
  'level', tostring(level),
  'requestLevel', tostring(requestLevel),
  'bulkLevel', tostring(bulkLevel),
  'at', string.format('%.3f', budget.now)
)
redis.call('HINCRBY', KEYS[1], 'calls', #leases / 2)
redis.call('ZADD', KEYS[2], unpack(leases))
return answer
