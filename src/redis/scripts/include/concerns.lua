-- What the outstanding work of a member concerns, so that a refresh can keep the rest of the record.
--   's'  sign-ins: account fields only, and nothing that would have to be confirmed
--   'a'  account fields and properties
--   'g'  those, and roles and permissions
--   'p'  those of 'a', and plans
--   nil  everything
--
-- A note is a concern and a number. The number tells whether a process that knows no concerns changed the member since.

-- The field that notes that a change without an event is among the outstanding work of a member.
local function intentField(member)
  return 'intent:' .. member
end

-- The field that notes the ticket of a refresh of a member that others must not cross: those that begin later fetch
-- everything, until one that began no earlier has settled.
local function wholeField(member)
  return 'whole:' .. member
end

-- Returns what the two concern together.
local function join(one, other)
  if not one or not other then return nil end
  if one == other or other == 's' then return one end
  if one == 's' or one == 'a' then return other end
  return other == 'a' and one or nil
end

-- Returns the concern that was noted with this number.
local function readConcern(key, field, number)
  local concern, noted = string.match(redis.call('HGET', key, field) or '', '^(%l)(%d+)$')
  if noted == string.format('%.0f', number) then return concern end
  return nil
end

local function writeConcern(key, field, concern, number)
  if concern then
    redis.call('HSET', key, field, concern .. string.format('%.0f', number))
  else
    redis.call('HDEL', key, field)
  end
end
