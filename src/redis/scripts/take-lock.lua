-- Takes a lock that nobody holds.
--
-- KEYS[1]  lock
-- ARGV[1]  holder
-- ARGV[2]  lifetime of the lock in milliseconds
-- Answer   1 if the lock was taken, 0 if somebody holds it

-- @include "lock"

return takeLock(KEYS[1], ARGV[1], ARGV[2]) and 1 or 0
