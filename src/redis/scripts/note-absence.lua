-- Notes that Kinde did not find a user. Observations closer together than the gap count once.
--
-- KEYS[1]  hash: user -> absence (JSON)
-- KEYS[2]  sorted set: user -> when to look again, in milliseconds
-- KEYS[3]  sorted set: users with a record that were absent lately -> when, in milliseconds
-- ARGV[1]  user
-- ARGV[2]  gap between two observations in milliseconds
-- ARGV[3]  how long KEYS[3] remembers a user, in milliseconds
-- ARGV[4]  '1' if the user has a record, otherwise ''
-- ARGV[5]  how long an observation counts in milliseconds
-- Answer   { observations, users in KEYS[3] }

-- @include "clock"

local now, gap = math.floor(nowMicros() / 1000), tonumber(ARGV[2])
local text = redis.call('HGET', KEYS[1], ARGV[1])
local readable, absence = pcall(cjson.decode, text or '')
local valid = readable and type(absence) == 'table' and type(absence.last) == 'number' and type(absence.count) == 'number'
if not valid or now - absence.last > tonumber(ARGV[5]) then
  absence = { v = 1, first = now, last = now, count = 1 }
elseif absence.last > now then
  -- Redis' clock stepped back: the gap begins again.
  absence.last = now
elseif now - absence.last >= gap then
  absence.last, absence.count = now, absence.count + 1
end
redis.call('HSET', KEYS[1], ARGV[1], cjson.encode(absence))

redis.call('ZREMRANGEBYSCORE', KEYS[3], '-inf', now - tonumber(ARGV[3]))
if ARGV[4] == '1' then
  redis.call('ZADD', KEYS[2], now + gap, ARGV[1])
  redis.call('ZADD', KEYS[3], now, ARGV[1])
end
return { absence.count, redis.call('ZCARD', KEYS[3]) }
