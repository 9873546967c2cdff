-- Removes a member from the ledger, unless an event was acknowledged after the refresh drew its ticket.
-- Counts the events that the refresh reflects in the histogram of readable times. Each event counts once, even if
-- refreshes overlap. All events of a member count with the age of the oldest: an upper bound for the later ones.
--
-- KEYS[1]  sorted set: member -> ticket of its first event that is not reflected
-- KEYS[2]  hash: member -> note on its latest event
-- KEYS[3]  hash: member -> failure
-- KEYS[4]  marker of a recently settled deletion of the member
-- KEYS[5]  all-time histogram; omit KEYS[5] and KEYS[6] to count nothing
-- KEYS[6]  histogram of the current hour
-- ARGV[1]  member
-- ARGV[2]  ticket of the refresh
-- ARGV[3]  events the refresh knew of when it began, or '' if unknown
-- ARGV[4]  lifetime of KEYS[4] in milliseconds
-- ARGV[5]  upper bounds of the histogram in milliseconds, comma-separated
-- ARGV[6]  lifetime of KEYS[6] in milliseconds
-- Answer   1 if the member was removed, 0 if a later event is outstanding

-- @include "latest-event"
-- @include "readable-time"

local since = tonumber(redis.call('ZSCORE', KEYS[1], ARGV[1]) or nil)
local mark, latest, events, reflected = readLatest(redis.call('HGET', KEYS[2], ARGV[1]))
local ticket = tonumber(ARGV[2])

if latest > ticket then
  local known = tonumber(ARGV[3])
  -- If the number is unknown, a user keeps its place: the refresh that knows it counts the events with their true age.
  if (known or not KEYS[5]) and since and since < ticket then
    if KEYS[5] then countReadable(KEYS[5], KEYS[6], since, known - reflected, ARGV[5], ARGV[6]) end
    reflected = math.max(reflected, known or 0)
    redis.call('HSET', KEYS[2], ARGV[1], writeLatest(mark, latest, events, reflected))
    -- The refresh reflects everything before its ticket, so the oldest outstanding event is later than the ticket.
    redis.call('ZADD', KEYS[1], 'XX', 'GT', ARGV[2], ARGV[1])
  end
  return 0
end

if mark == 'd' then redis.call('SET', KEYS[4], '1', 'PX', ARGV[4]) end
if KEYS[5] and since then countReadable(KEYS[5], KEYS[6], since, events - reflected, ARGV[5], ARGV[6]) end
redis.call('ZREM', KEYS[1], ARGV[1])
redis.call('HDEL', KEYS[2], ARGV[1])
redis.call('HDEL', KEYS[3], ARGV[1])
return 1
