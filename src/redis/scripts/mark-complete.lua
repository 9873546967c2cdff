-- Marks the store complete, unless it was wiped, or another Redis process took over, since the count of its records began.
--
-- KEYS[1]  mark
-- KEYS[2]  the Redis process that a count began on: in the slot of the mark, so that what wipes the one wipes the other
-- ARGV[1]  mark (JSON)
-- ARGV[2]  the Redis process that serves now
-- Answer   none

if redis.call('GET', KEYS[2]) == ARGV[2] then redis.call('SET', KEYS[1], ARGV[1]) end
redis.call('DEL', KEYS[2])
