-- Stores why a member's job gave up. Adds the member to the ledger if no event did, so that the failure stays visible.
--
-- KEYS[1]  sorted set: member -> ticket of its first event that is not reflected
-- KEYS[2]  hash: member -> failure
-- KEYS[3]  ticket counter
-- ARGV[1]  member
-- ARGV[2]  failure (JSON)
-- Answer   none

-- @include "ticket"

redis.call('ZADD', KEYS[1], 'NX', drawTicket(KEYS[3]), ARGV[1])
redis.call('HSET', KEYS[2], ARGV[1], ARGV[2])
