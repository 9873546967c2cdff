-- Cuts the lifetimes of BullMQ's keys of one queue, which has them in the slot of all its keys.
--
-- KEYS[1]  time of the last check for stalled jobs
-- KEYS[2]  rate limit of the queue
-- KEYS[3]  list of active jobs
-- ARGV[1]  longest lifetime of KEYS[1] in milliseconds
-- ARGV[2]  longest lifetime of KEYS[2] in milliseconds
-- ARGV[3]  longest lifetime of the lock of an active job in milliseconds
-- ARGV[4]  prefix of the keys of jobs
-- Answer   none

-- @include "lifetime"

cutLifetime(KEYS[1], ARGV[1])
cutLifetime(KEYS[2], ARGV[2])
for _, job in ipairs(redis.call('LRANGE', KEYS[3], 0, -1)) do cutLifetime(ARGV[4] .. job .. ':lock', ARGV[3]) end
