-- Adds users to a sweep's Bloom filter, unless the filter is gone: one with some of the users would be wrong.
--
-- KEYS[1]    filter (bitmap)
-- ARGV[1]    lifetime of the filter in milliseconds: an abandoned sweep leaves its filter behind
-- ARGV[2..]  offsets of the bits to set
-- Answer     none

if redis.call('EXISTS', KEYS[1]) == 0 then return end
for i = 2, #ARGV do redis.call('SETBIT', KEYS[1], ARGV[i], 1) end
redis.call('PEXPIRE', KEYS[1], ARGV[1])
