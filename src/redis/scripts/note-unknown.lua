-- Marks a user without a record as unknown to Kinde, twice as long each time.
--
-- KEYS[1]  marker
-- KEYS[2]  how often the user was unknown
-- ARGV[1]  first lifetime of the marker in milliseconds
-- ARGV[2]  longest lifetime of the marker in milliseconds
-- ARGV[3]  lifetime of KEYS[2] in milliseconds
-- Answer   none

local times = redis.call('INCR', KEYS[2])
local lifetime = math.min(tonumber(ARGV[2]), tonumber(ARGV[1]) * 2 ^ math.min(times - 1, 30))
redis.call('PEXPIRE', KEYS[2], ARGV[3])
redis.call('SET', KEYS[1], '1', 'PX', lifetime)
