-- A lock with a lifetime.

-- @include "lifetime"

-- Takes a lock that nobody holds. Returns whether it was taken.
local function takeLock(key, holder, ttlMs)
  if redis.call('SET', key, holder, 'PX', ttlMs, 'NX') then return true end
  cutLifetime(key, ttlMs)
  return false
end
