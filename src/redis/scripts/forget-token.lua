-- Deletes the stored access token if it is still the given one: another process may have replaced it.
--
-- KEYS[1]  access token (JSON)
-- ARGV[1]  token to forget
-- Answer   none

local text = redis.call('GET', KEYS[1])
if text and cjson.decode(text).token == ARGV[1] then redis.call('DEL', KEYS[1]) end
