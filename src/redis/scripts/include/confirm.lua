-- Which members need a confirming refresh, and when. The first due time stays, so that no later event postpones it; what
-- happens meanwhile shares one more refresh. Times are in microseconds.

-- @include "clock"

-- Notes that a refresh must begin at `due` or later. It waits `slack` longer, so that it confirms a whole burst of events.
local function noteConfirm(dueKey, laterKey, member, due, slack)
  local text = string.format('%.0f', due + slack)
  if redis.call('ZADD', dueKey, 'NX', text, member) == 1 then return end
  if due > tonumber(redis.call('ZSCORE', dueKey, member)) then redis.call('HSET', laterKey, member, text) end
end

-- Removes what a refresh that drew its ticket at `began` confirms.
local function confirmed(dueKey, laterKey, member, began)
  local due = tonumber(redis.call('ZSCORE', dueKey, member) or nil)
  if not due or due > began then return end
  local later = tonumber(redis.call('HGET', laterKey, member) or nil)
  redis.call('HDEL', laterKey, member)
  if later and later > began then
    redis.call('ZADD', dueKey, string.format('%.0f', later), member)
  else
    redis.call('ZREM', dueKey, member)
  end
end
