-- Raises the counter above the ticket of a stored record that it has not reached: the counter lost its draws, and the
-- record did not. Otherwise every later refresh of that user would be refused.
--
-- KEYS[1]  ticket counter
-- KEYS[2]  run id of the Redis process that drew the last ticket
-- ARGV[1]  ticket of the stored record
-- Answer   1 if the counter was raised, 0 if it had reached the ticket

-- @include "ticket"

local ticket = tonumber(ARGV[1])
if drawTicket(KEYS[1], KEYS[2]) > ticket then return 0 end
redis.call('SET', KEYS[1], string.format('%.0f', ticket + lostAtMost))
return 1
