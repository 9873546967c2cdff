-- Which members need a confirming refresh, and when. The first due time stays, so that no later event postpones it; what
-- happens meanwhile shares one more refresh. Times are in microseconds.
--
-- Times do not compare refreshes, because Redis' clock can step back while one of them is under way. So the ticket of the
-- latest refresh that needs confirmation is noted too, beside the later due times.

-- @include "clock"

local function ticketField(member)
  return 'ticket:' .. member
end

-- Notes that a refresh must begin at `due` or later. It waits `slack` longer, so that it confirms a whole burst of events.
local function noteConfirm(dueKey, laterKey, member, due, slack, ticket)
  local text = string.format('%.0f', due + slack)
  redis.call('HSET', laterKey, ticketField(member), ticket)
  if redis.call('ZADD', dueKey, 'NX', text, member) == 1 then return end
  if due > tonumber(redis.call('ZSCORE', dueKey, member)) then redis.call('HSET', laterKey, member, text) end
end

-- Removes what a refresh that drew its ticket at `began` confirms.
local function confirmed(dueKey, laterKey, member, began, ticket)
  local due = tonumber(redis.call('ZSCORE', dueKey, member) or nil)
  if not due or due > began then return end
  local later, noted = unpack(redis.call('HMGET', laterKey, member, ticketField(member)))
  later, noted = tonumber(later or nil), tonumber(noted or 0)
  local earlier = ticket <= noted
  if later and (earlier or later > began) then
    redis.call('HDEL', laterKey, member)
    redis.call('ZADD', dueKey, string.format('%.0f', later), member)
  elseif not earlier then
    redis.call('HDEL', laterKey, member, ticketField(member))
    redis.call('ZREM', dueKey, member)
  end
end
