-- Removes changes from a user's outbox, and the outbox with the last one.
--
-- KEYS[1]    outbox (stream)
-- ARGV[1..]  ids of entries
-- Answer     none

redis.call('XDEL', KEYS[1], unpack(ARGV))
if redis.call('XLEN', KEYS[1]) == 0 then redis.call('DEL', KEYS[1]) end
