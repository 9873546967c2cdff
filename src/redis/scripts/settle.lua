-- Removes a member from the ledger, unless an event was acknowledged after the refresh drew its ticket.
-- Counts the events that the refresh reflects in the histogram of readable times. Each event counts once, even if
-- refreshes overlap, and with its own time.
--
-- Kinde can answer from a copy that lags. So a user whose events were fetched within the settle time after them is noted
-- for a confirming refresh: once that time is over, and, if more events follow, once again after the last of them.
--
-- KEYS[1]   sorted set: member -> when its first event that is not reflected was acknowledged, in microseconds
-- KEYS[2]   hash: member -> note on its latest event
-- KEYS[3]   hash: member -> failure
-- KEYS[4]   marker of a recently settled deletion of the member
-- KEYS[5]   sorted set: member -> when its confirming refresh is due, in microseconds
-- KEYS[6]   hash: member -> when another confirming refresh is due after that; `ticket:<member>` -> ticket of the latest
--           refresh that needs confirmation; `concern:<member>` -> what it is to confirm
-- KEYS[7]   hash: member -> what its outstanding work concerns; `intent:<member>` -> ticket of an outstanding intent;
--           `whole:<member>` -> ticket of a refresh that no other may cross
-- KEYS[8]   hash: member -> when its events were acknowledged
-- KEYS[9]   all-time histogram; omit KEYS[9] and KEYS[10] to count nothing
-- KEYS[10]  histogram of the current hour
-- KEYS[11]  sorted set of recently settled members; omit it if whatever loses a commit loses its settlement too
-- ARGV[1]   member
-- ARGV[2]   ticket of the refresh
-- ARGV[3]   when the refresh drew its ticket, in microseconds, or '' if unknown
-- ARGV[4]   events the refresh knew of when it began, or '' if unknown
-- ARGV[5]   lifetime of KEYS[4] in milliseconds
-- ARGV[6]   settle time in microseconds, or '' if the member needs no confirmation
-- ARGV[7]   upper bounds of the histogram in milliseconds, comma-separated
-- ARGV[8]   lifetime of KEYS[10] in milliseconds
-- Answer    1 if the member was removed else 0

-- @include "latest-event"
-- @include "event-times"
-- @include "readable-time"
-- @include "confirm"

local since = tonumber(redis.call('ZSCORE', KEYS[1], ARGV[1]) or nil)
local mark, latest, events, reflected = readLatest(redis.call('HGET', KEYS[2], ARGV[1]))
local ticket, began = tonumber(ARGV[2]), tonumber(ARGV[3])
local settleMicros = tonumber(ARGV[6])

if settleMicros and began then confirmed(KEYS[5], KEYS[6], ARGV[1], began, ticket) end

-- This refresh fetched everything, or gave way to a later one that did.
local whole = tonumber(redis.call('HGET', KEYS[7], wholeField(ARGV[1])) or nil)
if whole and whole <= ticket then redis.call('HDEL', KEYS[7], wholeField(ARGV[1])) end

local function count(number)
  if number <= 0 then return end
  -- An event that is alone in the ledger has its time there.
  local times = events > 1 and takeTimes(KEYS[8], ARGV[1], number) or {}
  countReadable(KEYS[9], KEYS[10], times, since, number, ARGV[7], ARGV[8])
end

if latest > ticket then
  local known = tonumber(ARGV[4])
  -- If the number is unknown, a user keeps its place: the refresh that knows it counts the events with their true age.
  if (known or not KEYS[9]) and began and since and since < began then
    if KEYS[9] then count(known - reflected) end
    reflected = math.max(reflected, known or 0)
    redis.call('HSET', KEYS[2], ARGV[1], writeLatest(mark, latest, events, reflected))
    -- The refresh reflects everything before its ticket, so the oldest outstanding event came later.
    redis.call('ZADD', KEYS[1], 'XX', 'GT', ARGV[3], ARGV[1])
  end
  return 0
end

if mark == 'd' then redis.call('SET', KEYS[4], '1', 'PX', ARGV[5]) end
if KEYS[9] and since then count(events - reflected) end
redis.call('HDEL', KEYS[8], ARGV[1])
local concern = readConcern(KEYS[7], ARGV[1], events)
local intended = redis.call('HDEL', KEYS[7], intentField(ARGV[1])) == 1
redis.call('HDEL', KEYS[7], ARGV[1])
if settleMicros and since and mark ~= 'd' and concern ~= 's' then
  -- The time is that of the first event. Of several, the last one can be as late as the refresh, and so can a write.
  local begun = began or nowMicros()
  local last = events == 1 and not intended and since or begun
  if begun < last + settleMicros then
    noteConfirm(KEYS[5], KEYS[6], ARGV[1], begun + settleMicros, settleMicros / 10, ARGV[2], concern)
  end
end
if KEYS[11] and since then
  local one, other = 'u:', 'd:'
  if mark == 'd' then one, other = other, one end
  redis.call('ZREM', KEYS[11], other .. ARGV[1])
  redis.call('ZADD', KEYS[11], string.format('%.0f', nowMicros()), one .. ARGV[1])
end
redis.call('ZREM', KEYS[1], ARGV[1])
redis.call('HDEL', KEYS[2], ARGV[1])
redis.call('HDEL', KEYS[3], ARGV[1])
return 1
