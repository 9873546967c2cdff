-- Acknowledges one event for each of many members of a ledger: users, or a fan-out.
--
-- KEYS[1]    ticket counter
-- KEYS[2]    sorted set: member -> ticket of their first event that is not reflected
-- KEYS[3]    hash: member -> note on their latest event
-- ARGV[1]    position of the event in the ledger of fan-outs, or '' for now: the users have waited as long as the event
-- ARGV[2..]  members
-- Answer     the last ticket drawn

-- @include "ticket"
-- @include "latest-event"

local ticket = 0
for i = 2, #ARGV do
  local member = ARGV[i]
  ticket = drawTicket(KEYS[1])
  local mark, _, events, reflected = readLatest(redis.call('HGET', KEYS[3], member))
  redis.call('ZADD', KEYS[2], 'LT', ARGV[1] == '' and ticket or ARGV[1], member)
  redis.call('HSET', KEYS[3], member, writeLatest(mark, ticket, events + 1, reflected))
end
return ticket
