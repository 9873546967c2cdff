-- Acknowledges one event for each of many users.
--
-- KEYS[1]    ticket counter
-- KEYS[2]    sorted set: user -> ticket of their first event that is not reflected
-- KEYS[3]    hash: user -> note on their latest event
-- ARGV[1]    position of the event in the ledger of fan-outs, or '' for now: the users have waited as long as the event
-- ARGV[2..]  user ids
-- Answer     the last ticket drawn

-- @include "ticket"
-- @include "latest-event"

local ticket = 0
for i = 2, #ARGV do
  local user = ARGV[i]
  ticket = drawTicket(KEYS[1])
  local mark, _, events, reflected = readLatest(redis.call('HGET', KEYS[3], user))
  redis.call('ZADD', KEYS[2], 'LT', ARGV[1] == '' and ticket or ARGV[1], user)
  redis.call('HSET', KEYS[3], user, writeLatest(mark, ticket, events + 1, reflected))
end
return ticket
