-- Takes refresh requests off a sorted set that app servers write to, and keeps the set small. What cannot be a user id
-- is dropped here: a member can have hundreds of megabytes, which must not reach a worker.
--
-- KEYS[1]  sorted set: user id -> oldest acceptable fetch in milliseconds since the epoch
-- KEYS[2]  hash: reason -> number of requests dropped
-- ARGV[1]  most requests to take
-- ARGV[2]  most requests to keep
-- ARGV[3]  most bytes the set may take
-- ARGV[4]  longest user id
-- Answer   { requests still there, user id, score, user id, score, … }

-- Bounds the time for which one call blocks Redis.
local most = 10000

local size = redis.call('ZCARD', KEYS[1])
if size == 0 then return { 0 } end

local function drop(reason, count)
  if count > 0 then redis.call('HINCRBY', KEYS[2], reason, count) end
end

local excess = math.min(size - tonumber(ARGV[2]), most)
if excess > 0 then
  drop('overflow', redis.call('ZREMRANGEBYRANK', KEYS[1], 0, excess - 1))
  size = size - excess
end

-- SAMPLES 0 counts every member, so only once there are few.
if size <= tonumber(ARGV[2]) and redis.call('MEMORY', 'USAGE', KEYS[1], 'SAMPLES', 0) > tonumber(ARGV[3]) then
  redis.call('UNLINK', KEYS[1])
  drop('oversize', size)
  return { 0 }
end

local taken, oversize = { 0 }, 0
while #taken <= 2 * tonumber(ARGV[1]) and size > 0 do
  local popped = redis.call('ZPOPMIN', KEYS[1])
  size = size - 1
  if #popped[1] > tonumber(ARGV[4]) then
    oversize = oversize + 1
  else
    taken[#taken + 1] = popped[1]
    taken[#taken + 1] = popped[2]
  end
end
drop('oversize', oversize)
taken[1] = size
return taken
