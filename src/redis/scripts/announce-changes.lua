-- Notes users whose records are about to be written, so that their outboxes are found if the writer dies.
--
-- KEYS[1]    sorted set: user -> when the latest write was announced, in microseconds
-- ARGV[1..]  users
-- Answer     the current time in microseconds

-- @include "clock"

local now = string.format('%.0f', nowMicros())
for _, user in ipairs(ARGV) do redis.call('ZADD', KEYS[1], now, user) end
return now
