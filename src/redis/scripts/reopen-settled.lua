-- Puts recently settled members back into the ledger: the Redis that has their records can have lost the commits.
--
-- KEYS[1]  ticket counter
-- KEYS[2]  run id of the Redis process that drew the last ticket
-- KEYS[3]  sorted set: member -> when its first event that is not reflected was acknowledged, in microseconds
-- KEYS[4]  hash: member -> note on its latest event
-- KEYS[5]  hash: member -> what its outstanding work concerns
-- KEYS[6]  sorted set of recently settled members, each behind 'd:' if it was deleted, otherwise behind 'u:'
-- ARGV[1]  most members
-- Answer   how many were put back

-- @include "ticket"
-- @include "latest-event"

local popped = redis.call('ZPOPMIN', KEYS[6], ARGV[1])
if #popped == 0 then return 0 end
local ticket, now = drawTicket(KEYS[1], KEYS[2], #popped / 2)
for i = 1, #popped, 2 do
  local settledMark, member = string.match(popped[i], '^(.):(.*)$')
  local mark, _, events, reflected = readLatest(redis.call('HGET', KEYS[4], member))
  if settledMark == 'd' then mark = 'd' end
  redis.call('ZADD', KEYS[3], 'NX', string.format('%.0f', now), member)
  redis.call('HSET', KEYS[4], member, writeLatest(mark, ticket, events, reflected))
  redis.call('HDEL', KEYS[5], member)
  ticket = ticket + 1
end
return #popped / 2
