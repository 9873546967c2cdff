-- Replaces the flags of a record that were derived again from its own profile, if nobody has written it since.
-- The ticket stays: with a new one, a refresh that is fetching meanwhile would be refused.
--
-- KEYS[1]  flags record
-- KEYS[2]  stream that notes changes: that of all users, or the user's outbox if that one is on another primary
-- ARGV[1]  ticket of the record that the flags were derived from
-- ARGV[2]  flags record (JSON), with the same ticket
-- ARGV[3]  channel that announces the commit
-- ARGV[4]  how many changes the stream keeps, or '0' to write none
-- ARGV[5]  user id, for the stream
-- Answer   1 if the record was replaced, 0 if it has changed

-- @include "decode-json"
-- @include "note-change"
-- @include "read-record"

local current = readRecord(KEYS[1])
if not current then return 0 end
local record = decodeRecord(current)
if not record then return 0 end
if record.ticket ~= tonumber(ARGV[1]) or record.status ~= 'present' then return 0 end

noteChange(KEYS[2], ARGV[4], ARGV[5], ARGV[2], record, current)
redis.call('SET', KEYS[1], ARGV[2])
redis.call('PUBLISH', ARGV[3], ARGV[1])
return 1
