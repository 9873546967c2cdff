-- Remembers event ids, so that a redelivery is recognized as a duplicate.
--
-- KEYS[1]    set of event ids of the current period
-- ARGV[1]    lifetime of the set in milliseconds
-- ARGV[2..]  event ids
-- Answer     none

redis.call('SADD', KEYS[1], unpack(ARGV, 2))
redis.call('PEXPIRE', KEYS[1], ARGV[1])
