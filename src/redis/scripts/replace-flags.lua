-- Replaces the flags of a record that were derived again from its own profile, if nobody has written it since.
-- The ticket stays: with a new one, a refresh that is fetching meanwhile would be refused.
--
-- KEYS[1]  flags record
-- ARGV[1]  ticket of the record that the flags were derived from
-- ARGV[2]  flags record (JSON), with the same ticket
-- ARGV[3]  channel that announces the commit
-- Answer   1 if the record was replaced, 0 if it has changed

local current = redis.call('GET', KEYS[1])
if not current then return 0 end
local decoded, record = pcall(cjson.decode, current)
if not decoded or type(record) ~= 'table' then return 0 end
if record.ticket ~= tonumber(ARGV[1]) or record.status ~= 'present' then return 0 end

redis.call('SET', KEYS[1], ARGV[2])
redis.call('PUBLISH', ARGV[3], ARGV[1])
return 1
