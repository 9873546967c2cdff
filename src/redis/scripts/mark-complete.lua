-- Marks the store complete, unless it was wiped since the count of its records began.
--
-- KEYS[1]  mark
-- KEYS[2]  note that a count began: in the slot of the mark, so that what wipes the one wipes the other
-- ARGV[1]  mark (JSON)
-- Answer   none

if redis.call('DEL', KEYS[2]) == 1 then redis.call('SET', KEYS[1], ARGV[1]) end
