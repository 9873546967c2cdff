-- Stores what is known about an organization, unless the stored entry has a later ticket.
-- An entry that cannot be decoded has no ticket and is overwritten.
--
-- KEYS[1]  entry of the organization
-- ARGV[1]  ticket, drawn before the fetch
-- ARGV[2]  entry (JSON, with its ticket)
-- ARGV[3]  lifetime in milliseconds
-- Answer   1 if the entry was written, 0 if the stored one was kept

-- @include "decode-json"

local current = redis.call('GET', KEYS[1])
if current then
  local decoded, entry = pcall(decodeJson, current)
  if decoded and type(entry) == 'table' and type(entry.ticket) == 'number' then
    if entry.ticket > tonumber(ARGV[1]) then return 0 end
  end
end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
return 1
