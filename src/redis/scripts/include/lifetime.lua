-- Cuts the lifetime of a key to what it can be at most. It ends at a time of day, so it grows when Redis' clock steps back.
-- Returns what is left of it in milliseconds, as PTTL.
local function cutLifetime(key, longestMs)
  local left, longest = redis.call('PTTL', key), tonumber(longestMs)
  if left <= longest then return left end
  redis.call('PEXPIRE', key, longest)
  return longest
end
