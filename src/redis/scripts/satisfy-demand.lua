-- Forgets a user's refresh requests, unless one of them asks for a later fetch.
--
-- KEYS[1]  sorted set: user -> oldest acceptable fetch, in milliseconds
-- ARGV[1]  user
-- ARGV[2]  when the record was fetched, in milliseconds
-- Answer   none

local since = tonumber(redis.call('ZSCORE', KEYS[1], ARGV[1]) or nil)
if since and since <= tonumber(ARGV[2]) then redis.call('ZREM', KEYS[1], ARGV[1]) end
