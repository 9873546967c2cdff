-- Which members need a confirming refresh, and when. The first due time stays, so that no later event postpones it; what
-- happens meanwhile shares one more refresh. Times are in microseconds.

-- @include "clock"

local function msUntil(due)
  return math.max(0, math.ceil((due - nowMicros()) / 1000))
end

-- Notes that a refresh must begin at `due` or later. It waits `slack` longer, so that it confirms a whole burst of events.
-- Returns the milliseconds until then, -1 if another one comes first.
local function noteConfirm(dueKey, laterKey, member, due, slack)
  local text = string.format('%.0f', due + slack)
  if redis.call('ZADD', dueKey, 'NX', text, member) == 1 then return msUntil(due + slack) end
  if due > tonumber(redis.call('ZSCORE', dueKey, member)) then redis.call('HSET', laterKey, member, text) end
  return -1
end

-- Removes what a refresh that drew its ticket at `began` confirms. Returns the milliseconds until the next confirming
-- refresh if this one made it the next, otherwise -1.
local function confirmed(dueKey, laterKey, member, began)
  local due = tonumber(redis.call('ZSCORE', dueKey, member) or nil)
  if not due or due > began then return -1 end
  local later = tonumber(redis.call('HGET', laterKey, member) or nil)
  redis.call('HDEL', laterKey, member)
  if later and later > began then
    redis.call('ZADD', dueKey, string.format('%.0f', later), member)
    return msUntil(later)
  end
  redis.call('ZREM', dueKey, member)
  return -1
end
