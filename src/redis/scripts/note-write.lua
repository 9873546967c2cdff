-- Remembers property values that Kinde just accepted. Merges them key by key, so that concurrent writes of different
-- properties do not erase each other.
--
-- KEYS[1]    property values recently written for the member (JSON)
-- ARGV[1]    lifetime in milliseconds
-- ARGV[2..]  property key, value as JSON, property key, value as JSON, ...
-- Answer     none

local text = redis.call('GET', KEYS[1])
local written = text and cjson.decode(text) or {}
for i = 2, #ARGV, 2 do written[ARGV[i]] = ARGV[i + 1] end
redis.call('SET', KEYS[1], cjson.encode(written), 'PX', ARGV[1])
