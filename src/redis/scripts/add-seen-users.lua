-- Adds users to a sweep's Bloom filter.
--
-- KEYS[1]    filter (bitmap)
-- ARGV[1]    lifetime of the filter in milliseconds: an abandoned sweep leaves its filter behind
-- ARGV[2..]  offsets of the bits to set
-- Answer     none

for i = 2, #ARGV do redis.call('SETBIT', KEYS[1], ARGV[i], 1) end
redis.call('PEXPIRE', KEYS[1], ARGV[1])
