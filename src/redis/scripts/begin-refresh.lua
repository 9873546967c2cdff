-- Draws a ticket for a refresh and reads what the refresh must know before it fetches.
--
-- KEYS[1]  ticket counter
-- KEYS[2]  run id of the Redis process that drew the last ticket
-- KEYS[3]  hash: member -> note on its latest event
-- KEYS[4]  marker of a recently settled deletion of the member
-- KEYS[5]  property values recently written for the member (JSON)
-- KEYS[6]  hash: property -> when its value expires, in milliseconds
-- KEYS[7]  hash of users that Kinde did not find
-- KEYS[8]  sorted set: member -> when its first event that is not reflected was acknowledged, in microseconds
-- KEYS[9]  hash: member -> what its outstanding work concerns; `whole:<member>` -> ticket of a refresh that no other may cross
-- KEYS[10]  sorted set: member -> when its confirming refresh is due, in microseconds
-- KEYS[11]  hash: member -> failure
-- KEYS[12]  hash: member -> when another confirming refresh is due after that; `ticket:<member>` -> ticket of the latest
--           refresh that needs confirmation; `concern:<member>` -> what it is to confirm
-- ARGV[1]  member
-- ARGV[2]  longest lifetime of KEYS[4] in milliseconds
-- ARGV[3]  longest lifetime of a property value in milliseconds
-- ARGV[4]  '1' if later refreshes must not cross this one, otherwise ''
-- Answer   { ticket, time in microseconds, 1 if a deletion was acknowledged else 0, events since the member entered the
--          ledger, property values as JSON or nil, 1 if the member is in KEYS[7] else 0, 1 if anything is outstanding
--          else 0, what the outstanding events and a due confirmation concern, or '' for everything: so it is after a failure,
--          and if this refresh must not cross another; 1 if a confirming refresh is due else 0 }

-- @include "ticket"
-- @include "latest-event"
-- @include "overlay"
-- @include "confirm"
-- @include "lifetime"

local ticket, now = drawTicket(KEYS[1], KEYS[2])
local mark, _, events = readLatest(redis.call('HGET', KEYS[3], ARGV[1]))
local settledMs = cutLifetime(KEYS[4], ARGV[2])
local deleted = mark == 'd' or settledMs > 0
local written, lastExpiry = readWritten(KEYS[5], KEYS[6], tonumber(ARGV[3]))
-- What overrides Kinde's answer now is compared with it once it has expired, whatever clocks do until then.
if lastExpiry then noteConfirm(KEYS[10], KEYS[12], ARGV[1], lastExpiry * 1000, tonumber(ARGV[3]) * 100, ticket, 'a') end
local outstanding = redis.call('ZSCORE', KEYS[8], ARGV[1]) and 1 or 0
local concern = 's'
if outstanding == 1 then concern = readConcern(KEYS[9], ARGV[1], events) end
local confirm = tonumber(redis.call('ZSCORE', KEYS[10], ARGV[1]) or nil) or math.huge
if confirm <= now then concern = join(concern, readConfirm(KEYS[12], ARGV[1])) end
if redis.call('HEXISTS', KEYS[11], ARGV[1]) == 1 then concern = nil end
if ARGV[4] == '1' then redis.call('HSET', KEYS[9], wholeField(ARGV[1]), string.format('%.0f', ticket)) end
if redis.call('HEXISTS', KEYS[9], wholeField(ARGV[1])) == 1 then concern = nil end
return { ticket, now, deleted and 1 or 0, events, lastExpiry and cjson.encode(written) or false,
  redis.call('HEXISTS', KEYS[7], ARGV[1]), outstanding, concern or '', confirm <= now and 1 or 0 }
