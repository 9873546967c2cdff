-- Remembers property values that Kinde just accepted. Merges them key by key, so that concurrent writes of different
-- properties do not erase each other. Each property expires for itself. A writer that was suspended beyond the lifetime of
-- its lock does not replace the value of a later intent.
--
-- KEYS[1]    property values recently written for the member (JSON)
-- KEYS[2]    hash: property -> when its value expires, in milliseconds
-- KEYS[3]    hash: property -> ticket of the intent that wrote it
-- ARGV[1]    lifetime in milliseconds
-- ARGV[2]    ticket of the intent
-- ARGV[3..]  property key, value as JSON, property key, value as JSON, ...
-- Answer     none

-- @include "overlay"

local lifetime = tonumber(ARGV[1])
local written = readWritten(KEYS[1], KEYS[2], lifetime)
local expiry = string.format('%.0f', math.floor(nowMicros() / 1000) + lifetime)
-- Forgets the properties that expired, so that their number stays bounded under continuous writes.
for _, property in ipairs(redis.call('HKEYS', KEYS[2])) do
  if written[property] == nil then
    redis.call('HDEL', KEYS[2], property)
    redis.call('HDEL', KEYS[3], property)
  end
end
for i = 3, #ARGV, 2 do
  if tonumber(redis.call('HGET', KEYS[3], ARGV[i]) or 0) <= tonumber(ARGV[2]) then
    written[ARGV[i]] = ARGV[i + 1]
    redis.call('HSET', KEYS[2], ARGV[i], expiry)
    redis.call('HSET', KEYS[3], ARGV[i], ARGV[2])
  end
end
redis.call('SET', KEYS[1], cjson.encode(written), 'PX', lifetime)
redis.call('PEXPIRE', KEYS[2], lifetime)
redis.call('PEXPIRE', KEYS[3], lifetime)
