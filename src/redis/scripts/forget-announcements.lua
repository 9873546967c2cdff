-- Removes users whose outboxes are empty, unless another write was announced since.
--
-- KEYS[1]    sorted set: user -> when the latest write was announced, in microseconds
-- ARGV[1]    time of the announcement
-- ARGV[2..]  users
-- Answer     none

for i = 2, #ARGV do
  local at = redis.call('ZSCORE', KEYS[1], ARGV[i])
  if at and tonumber(at) <= tonumber(ARGV[1]) then redis.call('ZREM', KEYS[1], ARGV[i]) end
end
