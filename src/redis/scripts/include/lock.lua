-- Takes a lock that nobody holds. Returns whether it was taken.
-- A lifetime ends at a time of day, so it grows when Redis' clock steps back: it is cut to what it can be at most.
local function takeLock(key, holder, ttlMs)
  if redis.call('SET', key, holder, 'PX', ttlMs, 'NX') then return true end
  if redis.call('PTTL', key) > tonumber(ttlMs) then redis.call('PEXPIRE', key, ttlMs) end
  return false
end
