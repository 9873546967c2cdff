-- Draws a ticket for a refresh and reads what the refresh must know before it fetches.
--
-- KEYS[1]  ticket counter
-- KEYS[2]  hash: member -> note on its latest event
-- KEYS[3]  property values recently written for the member (JSON)
-- KEYS[4]  marker of a recently settled deletion of the member
-- KEYS[5]  hash of users that Kinde did not find
-- ARGV[1]  member
-- Answer   { ticket, 1 if a deletion was acknowledged else 0, events since the member entered the ledger, KEYS[3] or nil,
--            1 if the member is in KEYS[5] else 0 }

-- @include "ticket"
-- @include "latest-event"

local ticket = drawTicket(KEYS[1])
local mark, _, events = readLatest(redis.call('HGET', KEYS[2], ARGV[1]))
local deleted = mark == 'd' or redis.call('EXISTS', KEYS[4]) == 1
return { ticket, deleted and 1 or 0, events, redis.call('GET', KEYS[3]),
  redis.call('HEXISTS', KEYS[5], ARGV[1]) }
