-- Takes a lock that nobody holds.
-- A lifetime ends at a time of day, so it grows when Redis' clock steps back: it is cut to what it can be at most.
--
-- KEYS[1]  lock
-- ARGV[1]  holder
-- ARGV[2]  lifetime of the lock in milliseconds
-- Answer   1 if the lock was taken, 0 if somebody holds it

if redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2], 'NX') then return 1 end
if redis.call('PTTL', KEYS[1]) > tonumber(ARGV[2]) then redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
return 0
