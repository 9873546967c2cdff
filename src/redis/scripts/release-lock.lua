-- Releases a lock if it still belongs to the given holder: it may have expired and been taken by another.
--
-- KEYS[1]  lock
-- ARGV[1]  holder
-- Answer   none

if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end
