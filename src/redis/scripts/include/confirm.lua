-- Which members need a confirming refresh, and when. The first due time stays, so that no later event postpones it; what
-- happens meanwhile shares one more refresh. Times are in microseconds.
--
-- Times do not compare refreshes, because Redis' clock can step back while one of them is under way. So the ticket of the
-- latest refresh that needs confirmation is noted too, beside the later due times, and what is to be confirmed.

-- @include "clock"
-- @include "concerns"

local function ticketField(member)
  return 'ticket:' .. member
end

local function concernField(member)
  return 'concern:' .. member
end

-- Returns what is to be confirmed.
local function readConfirm(laterKey, member)
  return readConcern(laterKey, concernField(member), tonumber(redis.call('HGET', laterKey, ticketField(member)) or 0))
end

-- Notes that a refresh must begin at `due` or later. It waits `slack` longer, so that it confirms a whole burst of events.
local function noteConfirm(dueKey, laterKey, member, due, slack, ticket, concern)
  local text = string.format('%.0f', due + slack)
  local added = redis.call('ZADD', dueKey, 'NX', text, member) == 1
  if not added then concern = join(readConfirm(laterKey, member), concern) end
  redis.call('HSET', laterKey, ticketField(member), ticket)
  writeConcern(laterKey, concernField(member), concern, tonumber(ticket))
  if added then return end
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
    redis.call('HDEL', laterKey, member, ticketField(member), concernField(member))
    redis.call('ZREM', dueKey, member)
  end
end
