-- Acknowledges one event for each of many members of a ledger: users, or a fan-out.
--
-- KEYS[1]    ticket counter
-- KEYS[2]    run id of the Redis process that drew the last ticket
-- KEYS[3]    sorted set: member -> when their first event that is not reflected was acknowledged, in microseconds
-- KEYS[4]    hash: member -> note on their latest event
-- KEYS[5]    hash: member -> what their outstanding work concerns; not used for a fan-out
-- KEYS[6]    hash: member -> when its events were acknowledged; omitted for a fan-out
-- ARGV[1]    when the event was acknowledged, or '' for now: the users have waited as long as the event
-- ARGV[2]    what the event concerns, '' for everything
-- ARGV[3..]  members
-- Answer     the last ticket drawn

-- @include "ticket"
-- @include "latest-event"
-- @include "event-times"
-- @include "concerns"

local first, now = drawTicket(KEYS[1], KEYS[2], #ARGV - 2)
local since = ARGV[1] == '' and string.format('%.0f', now) or ARGV[1]
for i = 3, #ARGV do
  local member = ARGV[i]
  local mark, _, events, reflected = readLatest(redis.call('HGET', KEYS[4], member))
  local entered = redis.call('ZSCORE', KEYS[3], member)
  if KEYS[6] then
    if events > 0 then noteTime(KEYS[6], member, events - reflected, entered or since, since) end
    local concern = ARGV[2] ~= '' and ARGV[2] or nil
    if entered then concern = join(concern, readConcern(KEYS[5], member, events)) end
    writeConcern(KEYS[5], member, concern, events + 1)
  end
  -- A failure or an intent can have added the user: the time is that of the first event.
  redis.call('ZADD', KEYS[3], events > 0 and 'LT' or 'CH', since, member)
  redis.call('HSET', KEYS[4], member, writeLatest(mark, first + i - 3, events + 1, reflected))
end
return first + #ARGV - 3
